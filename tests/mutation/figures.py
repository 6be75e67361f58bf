"""What the results of mutation testing say, and the table in the document."""

import json
import math
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_SURVIVORS = Path(__file__).parent / "survivors.json"
_NORMAL_95 = 1.959964


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion.

    (k + z^2/2 -+ z sqrt(k(m - k)/m + z^2/4))/(m + z^2), Wilson 1927.
    """
    z2 = _NORMAL_95**2
    middle = successes + z2 / 2
    reach = _NORMAL_95 * math.sqrt(successes * (trials - successes) / trials + z2 / 4)
    return (middle - reach) / (trials + z2), (middle + reach) / (trials + z2)


def figures_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return counts and intervals, of the first run and with the tests added since."""
    n = len(rows)
    found: dict[str, Any] = {"n": n}
    for name, field in (("at_first", "killed_at_first"), ("now", "killed")):
        killed = sum(row[field] for row in rows)
        low, high = wilson(killed, n)
        found[name] = {
            "killed": killed,
            "share": round(killed / n, 4),
            "low": round(low, 4),
            "high": round(high, 4),
        }
    return found


def statement(kept: dict[str, Any]) -> str:
    """Return a module's row of the table."""

    def cell(part: dict[str, Any]) -> str:
        percents = f"{100 * part['low']:.0f} to {100 * part['high']:.0f}"
        return f"{part['killed']}, {100 * part['share']:.1f} % ({percents})"

    first, now = cell(kept["at_first"]), cell(kept["now"])
    return f"| {kept['module']} | {kept['n']} | {first} | {now} |"


def results() -> dict[str, dict[str, Any]]:
    """Return what is kept, by module."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(RESULTS.glob("*.json"))
    }


def explained() -> dict[str, str]:
    """Return, survivor by survivor, why it is equivalent or that it is real."""
    found = json.loads(_SURVIVORS.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found

"""What would change a verdict: how far every number is from another one."""

import math
from typing import Any

from dmtheory.rendering import format_number, format_range

Json = dict[str, Any]


def changes(claim: Json) -> tuple[str, ...]:
    """Say what would have to be measured for an entry to come out otherwise.

    Args:
        claim: The entry, as `load_run` checked it.

    Returns:
        Sentences, one a part with an interval and one for all exact numbers; empty
        where nothing was measured. Of parts that only tell more one counts them;
        of those that are not judged nothing is said.
    """
    measured = [
        part
        for part in claim["parts"]
        if part["value"] is not None and part.get("judged", True)
    ]
    own = [part for part in measured if part.get("headline", True)]
    exact = [part for part in own if _is_exact(part)]
    sentences = [_sentence(part) for part in own if not _is_exact(part)]
    if exact:
        sentences.append(_exact_sentence(exact, alone=not sentences))
    return tuple(sentences + _others(len(measured) - len(own)) + _noticed(claim))


def _is_exact(part: Json) -> bool:
    return part["low"] == part["high"] == part["value"]


def _others(count: int) -> list[str]:
    if not count:
        return []
    which = "One more part bears" if count == 1 else f"{count} more parts bear"
    return [
        f"{which} on whether it came out as expected, and not on the verdict: the "
        "table has the tolerances."
    ]


def _sentence(part: Json) -> str:
    name, allowed = part["name"], format_range(*part["tolerance"])
    if part["verdict"] == "inconclusive":
        more = f": {part['note']}" if part["note"] else ""
        return f"{name}: the interval reaches across an end of {allowed}{more}."
    if part["low"] is None or part["high"] is None:
        return f"{name}: it has no interval, so what would change it is not known."
    if part["verdict"] == "supported":
        edges, way = _edges_inside(part), "out of"
    else:
        edges, way = _edges_outside(part), "into"
    if not edges:
        return f"{name}: nothing would, since every value is allowed."
    distance, end = min(edges)
    times = distance / ((part["high"] - part["low"]) / 2)
    return (
        f"{name}: an interval that reaches {way} the tolerance ({allowed}). The nearer "
        f"end, {format_number(end)}, is {format_number(distance)} away from that, "
        f"{format_number(times, digits=2)} times half the interval's width."
    )


def _edges_inside(part: Json) -> list[tuple[float, float]]:
    """Return (distance to the tolerance's edge, the interval's end) of each side."""
    low, high = part["tolerance"]
    found = []
    if low is not None:
        found.append((part["low"] - low, part["low"]))
    if high is not None:
        found.append((high - part["high"], part["high"]))
    return found


def _edges_outside(part: Json) -> list[tuple[float, float]]:
    low, high = part["tolerance"]
    found = []
    if high is not None and part["low"] > high:
        found.append((part["low"] - high, part["low"]))
    if low is not None and part["high"] < low:
        found.append((low - part["high"], part["high"]))
    return found


def _exact_sentence(parts: list[Json], *, alone: bool) -> str:
    which = "" if alone else ", ".join(part["name"] for part in parts) + ": "
    if len(parts) == 1:
        said = "an exact number, which has no noise; another value of it"
    else:
        said = "exact numbers, which have no noise; another value of one of them"
    ends = [format_range(*part["tolerance"]) for part in parts]
    allowed = ends[0] if len(set(ends)) == 1 else "its tolerance"
    verdicts = {part["verdict"] for part in parts}
    if verdicts == {"supported"}:
        said += f", outside {allowed}, would"
    elif verdicts == {"refuted"}:
        said += f", within {allowed}, would"
    else:
        said += ", on the other side of an end of its tolerance, would"
    text = f"{which}{said}."
    return text if which else text[0].upper() + text[1:]


def _noticed(claim: Json) -> list[str]:
    slopes = claim.get("noticed_slopes") or {"above": None, "below": None}
    said = [
        f"{factor:.3g}" + (" or more" if side == "above" else " or less")
        for side, factor in slopes.items()
        if factor is not None and math.isfinite(factor)
    ]
    if not said:
        return []
    return [
        "Of wrong scales, an estimate that is wrong by a factor of "
        f"{', or '.join(said)} no longer comes out as expected."
    ]

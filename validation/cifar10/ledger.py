"""What a run has spent and done: a small file that survives the process."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "suite.json"


@dataclass(slots=True, kw_only=True)
class Ledger:
    """What a run has spent and done so far, over all calls.

    Attributes:
        identity: What the run is of; another run's folder is refused.
        spent: Seconds of all calls.
        speeds: Seconds that a model takes, by problem, as last measured.
        throughput: What the speed was measured on, by problem.
        stages: What was done, in order: name, models, seconds.
        finished: Tasks that are done.
        notes: Why something was left out, by name.
    """

    identity: dict[str, Any]
    spent: float = 0.0
    speeds: dict[str, float] = field(default_factory=dict)
    throughput: dict[str, Any] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the file; it appears whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{FILE}.partial"
        partial.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        partial.replace(folder / FILE)


def open_ledger(folder: Path, identity: dict[str, Any]) -> Ledger:
    """Return the folder's ledger, or a new one.

    Raises:
        ValueError: If the folder holds another run, or something else.
    """
    path = folder / FILE
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(
                f"out must be a new folder or a run of this suite, got {folder}"
            )
        return Ledger(identity=identity)
    try:
        found = Ledger(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} must be this suite's, but: {error}") from None
    for name, wanted in identity.items():
        if found.identity.get(name) != wanted:
            raise ValueError(
                f"out must be new or a run with the same {name}, {wanted!r}, got "
                f"{found.identity.get(name)!r} in {folder}: choose another folder"
            )
    return found


class Clock:
    """Adds the time of a call to what its run has spent, as it goes.

    A process that is killed loses no more than the time since the last tick.
    """

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        """Start the clock."""
        self._ledger, self._folder = ledger, folder
        self._last = time.perf_counter()

    def tick(self) -> None:
        """Count the time since the last tick, and write it down."""
        now = time.perf_counter()
        self._ledger.spent += now - self._last
        self._last = now
        self._ledger.save(self._folder)

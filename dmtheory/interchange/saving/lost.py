"""What a format cannot carry: every export says it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dmtheory.attribution import Attribution
from dmtheory.interchange.imported.runs import ImportedRuns


@dataclass(frozen=True, slots=True)
class Lost:
    """What was lost in an export.

    Attributes:
        fields: What the format has no place for.
        rounding: Largest absolute change of a number.
    """

    fields: tuple[str, ...] = ()
    rounding: float = 0.0

    def __str__(self) -> str:
        if not self.fields and self.rounding == 0:
            return "nothing is lost"
        said = [f"not carried: {', '.join(self.fields)}"] if self.fields else []
        if self.rounding:
            said.append(f"numbers change by up to {self.rounding:.2g}")
        return "; ".join(said)


def rounded(values: np.ndarray, dtype: Any, name: str) -> tuple[np.ndarray, float]:
    """Return numbers in another type, and their largest absolute change.

    Raises:
        ValueError: If one is too large for the type.
    """
    with np.errstate(over="ignore"):
        found = values.astype(dtype)
    bad = ~np.isfinite(found)
    if bad.any():
        raise ValueError(
            f"{name} must fit {np.dtype(dtype)}, got {values[bad][0]:g}: choose a "
            "format of higher precision"
        )
    return found, float(np.abs(found.astype(np.float64) - values).max(initial=0.0))


def lost_of_scores(attribution: Attribution, *carried: str) -> tuple[str, ...]:
    """Return what of an attribution a format leaves out, if it carries only these.

    Args:
        attribution: What is written.
        carried: What is carried beside the scores.

    Returns:
        Names of what is there and left out.
    """
    there = {
        "estimand": True,
        "labels": True,
        "stderr": attribution.stderr is not None,
        "units": attribution.units is not None,
        "intercept": attribution.intercept is not None,
        "seeds": bool(attribution.seeds),
        "method": bool(attribution.method),
        "number of examples": attribution.n_train != len(attribution.scores),
    }
    return tuple(name for name, has in there.items() if has and name not in carried)


def lost_of_runs(runs: ImportedRuns, *carried: str) -> tuple[str, ...]:
    """Return what of imported models a format leaves out, if it carries only these."""
    there = {
        "tags": True,
        "row numbers": len(runs.numbers) != runs.masks.shape[0],
        "target numbers": len(runs.columns) != runs.outputs.shape[1],
    }
    return tuple(name for name, has in there.items() if has and name not in carried)

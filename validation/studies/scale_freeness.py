"""Whether each problem's training is scale-free, for the table of problems."""

from typing import Any

from dmtheory.agreement.scale_free import scale_free
from validation.laboratory import Laboratory
from validation.verdicts.verdict import interval_to_json

# No power of two: at one, floating point makes scale-free laws true by itself.
LEVEL = 0.3
SEEDS = 8


def scale_freeness(laboratory: Laboratory, name: str) -> dict[str, Any]:
    """Return the check of a problem as plain values."""
    found = scale_free(
        laboratory.problem(name),
        level=LEVEL,
        n_seeds=SEEDS,
        seed=laboratory.experiment_seed("accuracy"),
        engine=laboratory.engine,
    )
    laboratory.models_trained += found.n_models
    return {
        "level": found.level,
        "at_one": interval_to_json(found.at_one),
        "elsewhere": interval_to_json(found.elsewhere),
        "tolerance": found.tolerance,
        "scale_free": found.scale_free,
        "remedy": found.remedy,
        "models_trained": found.n_models,
    }

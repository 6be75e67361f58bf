"""An attribution as arrays and one JSON text."""

import json
from typing import Any

import numpy as np
import torch

from dmtheory.attribution import Attribution
from dmtheory.estimand import Estimand
from dmtheory.interchange.reasons import reason

ARRAYS = ("scores", "stderr", "units", "intercept")
# The header's name in a file that holds others' too.
HEADER = "dmtheory"


def arrays_of(attribution: Attribution) -> dict[str, np.ndarray]:
    """Return the arrays that an attribution has, by name."""
    found = {name: getattr(attribution, name) for name in ARRAYS}
    return {name: value.numpy() for name, value in found.items() if value is not None}


def header_of(attribution: Attribution) -> str:
    """Return everything else as JSON."""
    return json.dumps({
        "estimand": attribution.estimand.to_json(),
        "train_labels": attribution.train_labels,
        "target_labels": attribution.target_labels,
        "n_train": attribution.n_train,
        "n_models": attribution.n_models,
        "seeds": sorted(attribution.seeds),
        "method": attribution.method,
    })


def attribution_from(
    arrays: dict[str, np.ndarray], header: str | None, *, name: str
) -> Attribution:
    """Return the attribution of arrays and a header.

    Raises:
        ValueError: If the header is missing or does not fit the arrays.
    """
    try:
        values: dict[str, Any] = json.loads(header or "")
        return Attribution(
            **{key: torch.from_numpy(np.array(value)) for key, value in arrays.items()},
            estimand=Estimand.from_json(values["estimand"]),
            train_labels=tuple(values["train_labels"]),
            target_labels=tuple(values["target_labels"]),
            n_train=values["n_train"],
            n_models=values["n_models"],
            seeds=frozenset(values["seeds"]),
            method=values["method"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{name} must hold an attribution of dmtheory: {reason(error)}"
        ) from None

"""An attribution as arrays and one JSON text."""

import json

import numpy as np
import torch

from dmtheory import files
from dmtheory.attribution import Attribution
from dmtheory.checks import check_finite
from dmtheory.interchange.files.reasons import reason

# The header's name in a file that holds others' too.
HEADER = "dmtheory"


def arrays_of(attribution: Attribution) -> dict[str, np.ndarray]:
    """Return the arrays that an attribution has, by name."""
    found = {name: getattr(attribution, name) for name in files.ARRAYS}
    return {
        name: value.cpu().numpy() for name, value in found.items() if value is not None
    }


def header_of(attribution: Attribution) -> str:
    """Return everything else as JSON."""
    return json.dumps(files.header_of(attribution))


def attribution_from(
    arrays: dict[str, np.ndarray], header: str | None, *, name: str
) -> Attribution:
    """Return the attribution of arrays and a header.

    Raises:
        ValueError: If the header is missing or does not fit the arrays.
    """
    try:
        tensors = {key: torch.from_numpy(np.array(v)) for key, v in arrays.items()}
        if "intercept" in tensors:
            check_finite(tensors["intercept"], "intercept")
        return files.attribution_from(tensors, json.loads(header or ""))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{name} must hold an attribution of dmtheory: {reason(error)}"
        ) from None

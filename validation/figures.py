"""What a claim's figure shows: one estimate against the other."""

from typing import Any

import torch

from dmtheory.agreement.statistics import naive_slope
from dmtheory.attribution import Attribution
from dmtheory.designs.seeds import Purpose, permutation

_MAX_POINTS = 400


def scatter(
    estimate: Attribution,
    reference: Attribution,
    *,
    title: str,
    predicted_slope: float | None,
    predicted_label: str,
    fitted_slope: float | None = None,
) -> dict[str, Any]:
    """Return the points of a scatter of one attribution against another.

    At most 400 points are kept, drawn uniformly; the slopes use all.

    Args:
        estimate: The vertical axis.
        reference: The horizontal axis.
        title: What is compared.
        predicted_slope: Slope that the claim predicts.
        predicted_label: What predicts it.
        fitted_slope: The slope found; the naive one by default, right when the
            reference is exact.
    """
    x, y = reference.scores.flatten(), estimate.scores.flatten()
    if fitted_slope is None:
        fitted_slope = naive_slope(estimate.scores, reference.scores).item()
    order = permutation(0, Purpose.SPLIT, 0, torch.arange(len(x)))[:_MAX_POINTS]
    return {
        "x": x[order].tolist(),
        "y": y[order].tolist(),
        "x_label": _axis(reference),
        "y_label": _axis(estimate),
        "title": title,
        "fitted_slope": fitted_slope,
        "predicted_slope": predicted_slope,
        "fitted_label": "fitted slope",
        "predicted_label": predicted_label,
        "log": False,
    }


def _axis(attribution: Attribution) -> str:
    estimand = attribution.estimand
    return f"{estimand.quantity}, {estimand.point} ({estimand.unit.replace('_', ' ')})"

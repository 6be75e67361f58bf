"""Two sides that share their seeds, compared with intervals over seeds and examples."""

import torch
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import interval_of
from dmtheory.attribution import Attribution
from dmtheory.influence.gap.statistics import inner_products, resampled_means

_DRAWS = 1000


def units_of(sides: list[Attribution]) -> Tensor:
    """Return the sides' estimates of each seed, [sides, seeds, examples, targets].

    A side without seeds counts as one.
    """
    return torch.stack([
        side.scores[None] if side.units is None else side.units for side in sides
    ])


def slope_by_seed(estimate: Attribution, reference: Attribution) -> Interval:
    """Return <estimate, reference>/<reference, reference>, means over shared seeds.

    A draw takes seeds and examples anew, each seed and example for both sides at once,
    so what the sides share moves the ratio by little. Targets are held fixed, and so
    are fewer than four seeds. Noise that is not shared is not taken out.
    """
    found, counts = resampled_means(units_of([estimate, reference]), _DRAWS, 0)
    ours, theirs = found[:, 0], found[:, 1]
    return interval_of(
        inner_products(ours, theirs, counts) / inner_products(theirs, theirs, counts)
    )


def distance_by_seed(estimate: Attribution, reference: Attribution) -> Interval:
    """Return |estimate - reference|/|reference|, drawn in the same way."""
    found, counts = resampled_means(units_of([estimate, reference]), _DRAWS, 0)
    gap, theirs = found[:, 0] - found[:, 1], found[:, 1]
    squares = inner_products(gap, gap, counts) / inner_products(theirs, theirs, counts)
    return interval_of(squares.sqrt()).clipped(0.0, float("inf"))

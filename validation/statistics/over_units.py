"""Intervals of a score over the models behind an attribution, beside its subsets'."""

from math import hypot

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import rank_correlations
from dmtheory.agreement.subset_outputs import SubsetOutputs
from dmtheory.attribution import Attribution
from validation.statistics.pseudo_values import pseudo_values
from validation.statistics.replicates import mean_of


def values_of_units(
    attribution: Attribution, held_out: SubsetOutputs
) -> Float[Tensor, " units"]:
    """Return what each unit contributes to the mean LDS: the jackknife's pseudo-values.

    n L - (n - 1) L_(-i), L_(-i) the score of the mean over all other units. Their mean
    estimates the score, their spread over sqrt(n) its error over units.

    Raises:
        ValueError: If the attribution has fewer than two units.
    """
    units = attribution.units
    if units is None or len(units) < 2:
        raise ValueError("attribution must have at least two units, got fewer")
    n = len(units)
    others = [(n * attribution.scores - unit) / (n - 1) for unit in units]
    found = scores_of([attribution.scores, *others], held_out)
    return pseudo_values(found[0], found[1:])


def over_units(
    attribution: Attribution, held_out: SubsetOutputs
) -> list[Float[Tensor, " units"]]:
    """Return the same in a list; empty for one model, which can but be held fixed."""
    units = attribution.units
    several = units is not None and len(units) > 1
    return [values_of_units(attribution, held_out)] if several else []


def scores_of(
    scores: list[Float[Tensor, "train targets"]], held_out: SubsetOutputs
) -> Float[Tensor, " attributions"]:
    """Return the mean LDS of each, on all held-out subsets as they are."""
    once = torch.ones(1, len(held_out.outputs), dtype=torch.float64)
    predicted = [held_out.weights @ one for one in scores]
    return rank_correlations(predicted, held_out.mean_outputs(), once).mean(2)[:, 0]


def widened(interval: Interval, *over: Float[Tensor, " units"]) -> Interval:
    """Return an interval with further, independent sources of error added to it.

    Args:
        interval: The number, with its interval over one source.
        over: Pseudo-values of the same number over another source each.

    Returns:
        The number; squared half-widths are added, of means by Student's law.
    """
    more = 0.0
    for values in over:
        student = mean_of(values)
        more = hypot(more, student.high - student.value)
    return Interval(
        interval.value,
        interval.value - hypot(interval.value - interval.low, more),
        interval.value + hypot(interval.high - interval.value, more),
    )

"""Errors over the models behind a score, against scores of models drawn anew."""

from math import sqrt

import pytest
import torch
from samples import an_attribution, normal
from scipy.stats import spearmanr

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of_arrays
from dmtheory.attribution import Attribution
from validation.statistics.over_units import (
    over_units,
    scores_of,
    values_of_units,
    widened,
)

TRUTH = normal(12, 4, seed=1)


def held_out() -> SubsetOutputs:
    masks = (normal(120, 12, seed=2) > 0).double()
    return evaluation_of_arrays(masks, masks @ TRUTH + normal(120, 4, seed=3))


def an_estimate(seed: int, n: int = 10) -> Attribution:
    units = TRUTH + 2 * normal(n, 12, 4, seed=seed)
    return an_attribution(units.mean(0), units=units)


def test_scores_are_mean_rank_correlations() -> None:
    outputs, sides = held_out(), (an_estimate(1), an_estimate(2))
    found = scores_of([side.scores for side in sides], outputs)
    for value, side in zip(found, sides, strict=True):
        predicted = (outputs.weights @ side.scores).T.tolist()
        pairs = zip(predicted, outputs.mean_outputs().T.tolist(), strict=True)
        each = [spearmanr(x, y).statistic for x, y in pairs]
        assert value.item() == pytest.approx(sum(each) / len(each))


def test_values_of_units_are_what_models_drawn_anew_move_a_score_by() -> None:
    """Against the scores of 60 estimates of ten new models each, on the same subsets.

    Their standard deviation is known to 9 %, the stated one, a mean of 60, to 3 %: 40 %
    is more than four times that, and errors off by sqrt(10) or by 2 fail.
    """
    estimates = [an_estimate(100 + seed) for seed in range(60)]
    outputs = held_out()
    seen = scores_of([one.scores for one in estimates], outputs).std().item()
    values = torch.stack([values_of_units(one, outputs) for one in estimates])
    stated = (values.var(1) / 10).mean().sqrt().item()
    assert stated == pytest.approx(seen, rel=0.4)


def test_independent_errors_add_by_their_squares() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 4.0]).double()
    # Student's half-width of the mean of these: 3.1824 sqrt(5/3)/2.
    half = 3.182446 * sqrt(5 / 3) / 2
    found = widened(Interval(0.5, 0.4, 0.7), values, values)
    assert found.value == 0.5
    assert 0.5 - found.low == pytest.approx(sqrt(0.1**2 + 2 * half**2))
    assert found.high - 0.5 == pytest.approx(sqrt(0.2**2 + 2 * half**2))
    assert widened(Interval(0.5, 0.4, 0.7)).high == pytest.approx(0.7)


def test_one_unit_has_no_spread() -> None:
    with pytest.raises(ValueError, match="two units"):
        values_of_units(an_attribution(TRUTH), held_out())
    assert over_units(an_attribution(TRUTH), held_out()) == []

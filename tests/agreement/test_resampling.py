"""Resampling: which rows a draw holds, and what an interval is made of."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
import pytest
import torch
from samples import an_attribution, normal

from dmtheory import agreement, lds
from dmtheory.agreement.bootstrap import _resample
from dmtheory.agreement.prediction import held_out_prediction
from dmtheory.agreement.resampling import (
    as_is_and_resampled,
    interval_of,
    resample_counts,
)
from dmtheory.agreement.scale_free import _squared


def test_a_sample_as_it_is_stands_before_its_draws() -> None:
    found = as_is_and_resampled(5, 3)
    assert found.shape == (1001, 15)
    assert torch.equal(found[0], torch.ones(15).double())
    assert torch.equal(found[1:], resample_counts(5, 3, draws=1000, seed=0))
    # A unit's rows move as one, and a draw holds as many rows as there are.
    assert torch.equal(found, found[:, ::3].repeat_interleave(3, 1))
    assert (found.sum(1) == 15).all()


def test_an_interval_is_the_sample_with_its_draws_deviations() -> None:
    samples = normal(400, seed=1)
    low, median, high = np.quantile(samples[1:], [0.025, 0.5, 0.975])
    found, value = interval_of(samples), samples[0].item()
    assert found.value == value
    assert found.low == pytest.approx(value + low - median)
    assert found.high == pytest.approx(value + high - median)


def test_halves_and_sides_are_resampled_apart() -> None:
    """Six halves of equal units: draws that shared a stream would be the same.

    Correlations over 4,000 draws have sigma .016, here five of them.
    """
    units = normal(8, 1, 1, seed=2).repeat_interleave(2, 0)
    one = an_attribution(units.mean(0), units=units)
    rows = torch.arange(4000)
    drawn = [_resample(one, rows, 0, stream) for stream in range(3)]
    halves = [half.flatten() for each in drawn for half in (each.first, each.second)]
    off = torch.corrcoef(torch.stack(halves)) - torch.eye(6).double()
    assert off.abs().max() < 0.08


def test_a_square_of_means_is_rid_of_its_noise() -> None:
    """|mean change|^2 less its squared standard error, over the larger output."""
    before, after = normal(5, 3, seed=3), 2 + normal(5, 3, seed=4)
    change = (after - before).numpy()
    square = np.mean(change.mean(0) ** 2 - change.var(0, ddof=1) / 5)
    size = max(np.mean(side.numpy().mean(0) ** 2) for side in (before, after))
    found = _squared(before, after, torch.ones(1, 5).double())
    assert found.item() == pytest.approx(square / size, rel=1e-12)


def test_opposite_scores_have_correlation_minus_one() -> None:
    scores = normal(9, 2, seed=5)
    sides = [
        an_attribution(sign * scores, stderr=torch.zeros_like(scores))
        for sign in (1.0, -1.0)
    ]
    found = agreement(*sides)
    for each in (found.pearson, found.spearman):
        assert (each.value, each.low, each.high) == pytest.approx((-1.0, -1.0, -1.0))
    assert found.slope.value == pytest.approx(-1.0)


@pytest.mark.parametrize("drawing", [as_is_and_resampled, held_out_prediction, lds])
def test_draws_start_from_seed_0(drawing: Callable[..., Any]) -> None:
    assert signature(drawing).parameters["seed"].default == 0

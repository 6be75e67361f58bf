"""The slope of the median target."""

import pytest
import torch
from samples import an_attribution, generator
from torch import Tensor

from dmtheory.attribution import Attribution
from validation.statistics.median_slope import median_slope
from validation.statistics.relate import relate

N_UNITS, N_TRAIN, N_TARGETS = 8, 40, 9


def noisy(truth: Tensor, sd: float, seed: int) -> Attribution:
    noise = torch.randn(N_UNITS, *truth.shape, generator=generator(seed)).double()
    units = truth + sd * noise
    return an_attribution(units.mean(0), units=units)


def a_truth(seed: int) -> Tensor:
    return torch.randn(N_TRAIN, N_TARGETS, generator=generator(seed)).double()


def test_one_large_score_moves_the_pooled_slope_and_not_the_median() -> None:
    truth = a_truth(1)
    slopes = torch.linspace(1.6, 2.4, N_TARGETS).double()
    truth[3, 0] = 100.0
    estimate, reference = noisy(slopes * truth, 0.01, 2), noisy(truth, 0.01, 3)
    assert relate(estimate, reference).slope.value < 1.62
    found = median_slope(estimate, reference)
    assert found.value == pytest.approx(2.0, abs=0.01)
    # Of nine targets' slopes, the median is the fifth; the draws reach its neighbours.
    assert 1.6 < found.low < 1.95
    assert 2.05 < found.high < 2.4


def test_noise_does_not_shrink_it_as_it_does_without_halves() -> None:
    truth = a_truth(4)
    estimate, reference = noisy(2 * truth, 0.5, 5), noisy(truth, 3.0, 6)
    plain = (estimate.scores * reference.scores).sum(0) / reference.scores.square().sum(
        0
    )
    found = median_slope(estimate, reference)
    assert plain.median() < 1.4
    assert found.low < 2 < found.high
    assert 1.6 < found.value < 2.5


def test_it_covers_the_median_of_what_targets_and_examples_are_drawn_from() -> None:
    """Nominal .95; fewer than 50 of 60 has probability 1e-4 at a coverage of .95."""
    covered = 0
    for seed in range(60):
        slopes = 2 + 0.3 * torch.randn(N_TARGETS, generator=generator(100 + seed))
        truth = a_truth(200 + seed)
        estimate = noisy(slopes.double() * truth, 0.3, 300 + seed)
        found = median_slope(estimate, noisy(truth, 0.3, 400 + seed))
        covered += found.low <= 2 <= found.high
    assert covered >= 50


def test_a_wrong_scale_moves_it_by_that_scale() -> None:
    truth = a_truth(7)
    estimate, reference = noisy(truth, 0.1, 8), noisy(truth, 0.1, 9)
    ratio = median_slope(estimate.scaled(1.25), reference).value
    assert ratio == pytest.approx(1.25 * median_slope(estimate, reference).value)

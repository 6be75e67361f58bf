"""A ladder of steps on functions whose bias and noise are known in closed form."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from samples import a_description, normal
from torch import Tensor

from dmtheory import FiniteDifference, response_derivative
from dmtheory.derivatives.differences.finite_difference import finite_differences
from dmtheory.derivatives.differences.ladder import Ladder, chosen_step
from dmtheory.derivatives.differences.stencils import Central, DifferenceRule, Forward
from dmtheory.designs import Bernoulli
from dmtheory.designs.seeds import Purpose, uniforms
from dmtheory.problems import BlackBox, SampleMean

N_TRAIN, N_SEEDS = 6, 40
STEPS = tuple(0.8 / 2**k for k in range(8))


def noisy(bend: float, noise: float, power: int) -> BlackBox:
    """Return sum_i [w_i u_i + bend (w_i - 1)^power] + noise e, e anew at any weight.

    u is the seed's own, e uniform of variance 1: common seeds take nothing of e out.
    """

    def respond(weights: Tensor, seeds: Tensor) -> Tensor:
        own = uniforms(1, Purpose.DATA, seeds, torch.arange(N_TRAIN))
        # Every weight vector and seed names a draw of its own.
        bits = (weights * 2**20).round().long() @ torch.arange(1, N_TRAIN + 1)
        fresh = uniforms(2, Purpose.DATA, (seeds >> 22) ^ (bits << 8), torch.arange(1))
        smooth = weights * own + bend * (weights - 1) ** power
        return smooth.sum(1, keepdim=True) + noise * math.sqrt(12) * (fresh - 0.5)

    return BlackBox(
        description=a_description(N_TRAIN, 1, normalisation="count"),
        train_and_measure=respond,
    )


@pytest.mark.parametrize(
    ("bend", "noise"), [(1.0, 0.1), (1.0, 0.01), (0.1, 0.1), (3.0, 0.003)]
)
@pytest.mark.parametrize("seed", range(5))
def test_the_step_is_within_a_rung_of_the_best_known(
    bend: float, noise: float, seed: int
) -> None:
    # F''' = 6 bend: the bias is bend h^2, the variance that depends on h is
    # noise^2/(2 h^2 n), and their sum is least at h^6 = noise^2/(4 n bend^2).
    # A rung is a factor 2 of h; at a distance of 2 rungs the bias is 16 times, or the
    # noise 4 times, that at the best. With 6 coordinates and 40 seeds noise is known to
    # 1/sqrt(480) and bias at its largest rungs better: no miss is expected in the
    # twenty cases, whose seeds are fixed.
    best = (noise**2 / (4 * N_SEEDS * bend**2)) ** (1 / 6)
    method = FiniteDifference(step=Ladder(STEPS), n_seeds=N_SEEDS)
    found = finite_differences(noisy(bend, noise, 3), method, seed=seed)
    assert found.choice is not None
    assert abs(math.log2(found.choice.step / best)) <= 1


def test_bias_and_noise_of_every_rung_are_those_known() -> None:
    # Noise: seeds vary u by 1/12, e by 1; 240 quotients a rung, 5 standard errors are
    # 5/sqrt(480) = .23. Bias: to 1/10 where it is ten times the noise.
    bend, noise = 1.0, 0.05
    method = FiniteDifference(step=Ladder(STEPS[::-1]), n_seeds=N_SEEDS)
    found = finite_differences(noisy(bend, noise, 3), method, seed=7)
    assert found.choice is not None
    rungs = found.choice.rungs
    assert tuple(rung.step for rung in rungs) == STEPS
    for rung in rungs:
        variance = (1 / 12 + noise**2 / (2 * rung.step**2)) / N_SEEDS
        assert rung.noise == pytest.approx(math.sqrt(variance), rel=0.23)
        assert rung.bias == pytest.approx(bend * rung.step**2, rel=0.1)
        assert rung.total == pytest.approx(math.hypot(rung.bias, rung.noise))
    totals = [rung.total for rung in rungs]
    assert totals[found.choice.chosen] == min(totals)
    assert found.attribution.method.startswith(
        f"central differences, step {found.choice.step:g} of 0.8, 0.4, 0.2, 0.1, 0.05,"
    )


def test_the_scores_are_those_of_the_chosen_step_and_all_trainings_count() -> None:
    problem = noisy(1.0, 0.05, 3)
    laddered = FiniteDifference(step=Ladder((0.4, 0.2, 0.1)), n_seeds=N_SEEDS)
    found = finite_differences(problem, laddered, seed=2)
    assert found.choice is not None
    alone = FiniteDifference(step=found.choice.step, n_seeds=N_SEEDS)
    expected = finite_differences(problem, alone, seed=2)
    # The seeds are shared by all rungs, and are those of a single step.
    assert torch.equal(found.attribution.scores, expected.attribution.scores)
    assert found.attribution.stderr is not None
    assert expected.attribution.stderr is not None
    assert torch.equal(found.attribution.stderr, expected.attribution.stderr)
    assert found.variance_ratio is not None
    assert expected.variance_ratio is not None
    assert torch.equal(found.variance_ratio, expected.variance_ratio)
    assert found.attribution.n_models == 3 * expected.attribution.n_models
    assert expected.choice is None


@pytest.mark.parametrize(("rule", "power"), [(Central(), 3), (Forward(), 2)])
def test_the_bias_follows_the_rules_own_order(rule: DifferenceRule, power: int) -> None:
    # Without noise beyond the derivative's: (w - 1)^2 has a forward bias of h, and
    # (w - 1)^3 a central one of h^2; to rounding, as every rung obeys the law.
    method = FiniteDifference(step=Ladder((0.4, 0.1, 0.2)), n_seeds=5, rule=rule)
    found = finite_differences(noisy(1.0, 0.0, power), method)
    assert found.choice is not None
    for rung in found.choice.rungs:
        assert rung.bias == pytest.approx(rung.step ** (power - 1), rel=1e-9)
    assert found.choice.step == 0.1


def test_no_bias_leaves_the_largest_step() -> None:
    # A straight line: all steps are right, and the largest has the least noise.
    method = FiniteDifference(step=Ladder((0.1, 0.2, 0.8)), n_seeds=N_SEEDS)
    found = finite_differences(noisy(0.0, 1.0, 3), method, seed=1)
    assert found.choice is not None
    assert found.choice.step == 0.8


def test_no_bias_is_made_of_noise() -> None:
    # The mean square of c less its variance is unbiased for 0, so that it is negative
    # (no bias at all) in about half of the studies: fewer than 6 of 40 is 1e-6. Its
    # raw square never is.
    method = FiniteDifference(step=Ladder((0.1, 0.2, 0.8)), n_seeds=10)
    none = 0
    for seed in range(40):
        found = finite_differences(noisy(0.0, 1.0, 3), method, seed=seed)
        assert found.choice is not None
        none += found.choice.rungs[0].bias == 0
    assert 6 <= none <= 34


def test_bias_is_fitted_by_least_squares_with_weights_h_squared() -> None:
    # numpy's polyfit of D on h^2 (and on h in the second row), whose weights multiply
    # residuals and not their squares.
    steps = (0.1, 0.3, 0.4, 0.8)
    drawn = normal(4, 1, 2, 1, seed=6)
    found = chosen_step(
        dict(zip(steps, drawn, strict=True)),
        torch.tensor([2.0, 1.0]).double(),
        torch.zeros(1, dtype=torch.float64),
    )
    h = np.array(steps)
    slopes = [
        np.polyfit(h**power, drawn[:, 0, row, 0].numpy(), 1, w=h)[0]
        for row, power in enumerate((2, 1))
    ]
    for rung in found.rungs:
        biases = [c * rung.step**power for c, power in zip(slopes, (2, 1), strict=True)]
        assert rung.bias == pytest.approx(math.hypot(*biases) / math.sqrt(2))


def test_rounding_is_the_noise_of_deterministic_training() -> None:
    # Bias (h/W)^2 g against rounding u |F|/h: 1e-5 or so, by far not the smallest.
    y = 1e3 + normal(N_TRAIN, seed=3)
    steps = tuple(10.0**-k for k in range(1, 10))
    found = finite_differences(
        SampleMean(values=y), FiniteDifference(step=Ladder(steps))
    )
    assert found.choice is not None
    truth = (y - y.mean())[:, None] / N_TRAIN
    errors = {
        step: (
            response_derivative(
                SampleMean(values=y), FiniteDifference(step=step)
            ).scores
            - truth
        )
        .norm()
        .item()
        for step in steps
    }
    best = min(errors, key=lambda step: errors[step])
    assert abs(math.log10(found.choice.step / best)) <= 1
    assert errors[found.choice.step] < 1e-2 * max(errors.values())
    assert found.attribution.exact


def test_a_ladder_over_subsets_shares_subsets_and_seeds() -> None:
    problem = noisy(1.0, 0.01, 3)
    method = FiniteDifference(step=Ladder((0.1, 0.05)), n_seeds=10)
    found = finite_differences(problem, method, at=Bernoulli(p=0.5), seed=3)
    assert found.choice is not None
    alone = FiniteDifference(step=found.choice.step, n_seeds=10)
    expected = response_derivative(problem, alone, at=Bernoulli(p=0.5), seed=3)
    assert torch.equal(found.attribution.scores, expected.scores)
    assert found.attribution.n_models == 2 * expected.n_models


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((0.1,), "number of steps must be at least 2, got 1"),
        ((0.1, 0.0), "steps must be finite and > 0, got 0"),
        ((0.1, math.inf), "steps must be finite and > 0, got inf"),
        ((0.1, 0.1), "steps must be distinct, got"),
    ],
)
def test_a_ladder_without_rungs_is_refused(
    steps: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Ladder(steps)


def test_a_ladder_needs_seeds_to_tell_noise() -> None:
    method = FiniteDifference(step=Ladder((0.1, 0.2)), n_seeds=1)
    with pytest.raises(ValueError, match="n_seeds must be at least 2 for a ladder"):
        response_derivative(noisy(1.0, 0.1, 3), method)

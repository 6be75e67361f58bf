"""Bias and variance of derivatives along random directions: predicted and seen."""

import itertools
from typing import Any

import pytest
import torch
from samples import a_description, normal
from torch import Tensor

from dmtheory import (
    OLS,
    DifferenceOfMeans,
    FiniteDifference,
    RandomDirections,
    response_derivative,
)
from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.designs.seeds import Purpose, uniforms
from dmtheory.problems import BlackBox
from dmtheory.theory import noise_laws

N_TRAIN, N_TARGETS, STEP = 4, 60, 0.2
KURTOSIS = {"rademacher": 1.0, "gaussian": 2.985, "sparse": 4.0}


def a_problem(respond: Any, n_targets: int) -> BlackBox:
    return BlackBox(
        description=a_description(N_TRAIN, n_targets, normalisation="count"),
        train_and_measure=respond,
    )


def cubic(weights: Tensor, own: Tensor, crossed: Tensor) -> Tensor:
    """Return sum_i F_iii u_i^3/6 + sum_{i, j} F_ijj u_i u_j^2/2 + u_0 u_1 u_2.

    u = w - 1; the last term biases nothing.
    """
    u = weights - 1
    mixed = ((u**2 @ crossed.T) * u).sum(1) / 2
    return ((u**3 / 6) @ own + mixed + u[:, :3].prod(1))[:, None]


OWN = normal(N_TRAIN, seed=1) + 3
CROSSED = (normal(N_TRAIN, N_TRAIN, seed=2) + 1).fill_diagonal_(0.0)


def test_the_bias_is_exact_for_a_cubic_over_all_signs() -> None:
    z = torch.tensor(
        list(itertools.product((1.0, -1.0), repeat=4)), dtype=torch.float64
    )
    up, down = (cubic(1 + side * STEP * z, OWN, CROSSED) for side in (1, -1))
    seen = (z * (up - down)).mean(0) / (2 * STEP)
    predicted = noise_laws.direction_bias(OWN, CROSSED.sum(1), STEP)
    torch.testing.assert_close(seen, predicted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("law", KURTOSIS)
@pytest.mark.parametrize("estimator", [OLS(errors="robust"), DifferenceOfMeans()])
def test_the_bias_that_is_seen_is_the_one_predicted(
    law: str, estimator: DatamodelEstimator
) -> None:
    # The derivative is 0, so that scores are bias alone: 4 of them within 5 standard
    # errors, 3e-6 a case, and 10 to 100 standard errors away from none. OLS has a bias
    # of its own of one part in the number of pairs.
    method = RandomDirections(
        step=STEP, law=law, density=0.25, n_pairs=20_000, estimator=estimator
    )
    problem = a_problem(lambda w, s: cubic(w, OWN, CROSSED), 1)
    found = response_derivative(problem, method)
    predicted = noise_laws.direction_bias(
        OWN, CROSSED.sum(1), STEP, kurtosis=KURTOSIS[law]
    )
    assert found.stderr is not None
    error = found.stderr[:, 0]
    assert ((found.scores[:, 0] - predicted).abs() < 5 * error).all()
    assert (predicted.norm() / error.norm()) > 10


SPREAD = torch.tensor([0.2, 1.0, 2.0, 0.5], dtype=torch.float64)
SLOPES = 1.5 * normal(N_TRAIN, N_TARGETS, seed=3)
FRESH = 0.02


def noisy(weights: Tensor, seeds: Tensor) -> Tensor:
    """Return slopes that vary with the seed by SPREAD^2, and fresh noise, a target."""
    ids = torch.arange(N_TARGETS * N_TRAIN)
    own = (12**0.5) * (uniforms(1, Purpose.DATA, seeds, ids) - 0.5)
    slopes = SLOPES.T + SPREAD * own.unflatten(1, (N_TARGETS, N_TRAIN))
    # Every weight vector names a draw of its own.
    bits = (weights * 2**20).round().long() @ torch.arange(1, N_TRAIN + 1)
    fresh = uniforms(2, Purpose.DATA, (seeds >> 22) ^ (bits << 8), ids[:N_TARGETS])
    noise = (12 * FRESH) ** 0.5 * (fresh - 0.5)
    return torch.einsum("mi,mti->mt", weights, slopes) + noise


def mean_square(method: Any, n_studies: int) -> tuple[Tensor, Tensor]:
    """Return mean squares of errors and of standard errors, an example."""
    problem = a_problem(noisy, N_TARGETS)
    errors, stated = [], []
    for study in range(n_studies):
        found = response_derivative(problem, method, seed=study)
        assert found.stderr is not None
        errors.append((found.scores - SLOPES).square())
        stated.append(found.stderr.square())
    return torch.stack(errors).mean((0, 2)), torch.stack(stated).mean((0, 2))


# 50 studies of 60 targets, whose slopes and noise are their own: a mean square has a
# relative standard error of sqrt(2/3000) = .026 if they are independent; they share
# directions, which moves it by a few hundredths more for 80 pairs. .2 is over 4 sigma,
# 1e-4 a case at fixed seeds. A law without (kappa - 1) v_i, without the other examples'
# part, or with 1/h^2 in place of 1/2h^2, is off by .25 and more.
WITHIN = 0.2


@pytest.mark.parametrize("law", KURTOSIS)
@pytest.mark.parametrize("mean", [True, False])
def test_the_variance_that_is_seen_is_the_one_predicted(law: str, mean: bool) -> None:
    n_pairs, kurtosis = 80, KURTOSIS[law]
    variance = SPREAD.square()[:, None].expand(-1, N_TARGETS)
    noise = noise_laws.direction_noise(variance, FRESH, STEP, kurtosis)
    estimator: DatamodelEstimator = OLS(errors="robust")
    predicted = noise_laws.direction_errors(noise, n_pairs)
    if mean:
        estimator = DifferenceOfMeans()
        predicted = noise_laws.direction_mean_errors(noise, SLOPES, n_pairs, kurtosis)
    method = RandomDirections(
        step=STEP, law=law, density=0.25, n_pairs=n_pairs, estimator=estimator
    )
    seen, stated = mean_square(method, 50)
    expected = predicted.square().mean(1)
    torch.testing.assert_close(seen, expected, rtol=WITHIN, atol=0)
    torch.testing.assert_close(stated, expected, rtol=WITHIN, atol=0)


def test_central_differences_have_the_stated_error() -> None:
    method = FiniteDifference(step=STEP, n_seeds=10)
    seen, stated = mean_square(method, 50)
    expected = noise_laws.central_errors(SPREAD.square(), FRESH, STEP, 10).square()
    torch.testing.assert_close(seen, expected, rtol=WITHIN, atol=0)
    torch.testing.assert_close(stated, expected, rtol=WITHIN, atol=0)


def test_too_few_pairs_have_no_error_to_state() -> None:
    noise = torch.ones(4, 2, dtype=torch.float64)
    assert torch.isinf(noise_laws.direction_errors(noise, 5)).all()
    assert torch.isfinite(noise_laws.direction_errors(noise, 6)).all()

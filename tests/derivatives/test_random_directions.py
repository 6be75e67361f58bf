"""Regression on random directions: exact identities, the datamodel, its noise laws."""

from typing import Any

import pytest
import torch
from samples import a_description, normal, table
from scipy.stats import t as student
from torch import Tensor

from dmtheory import (
    OLS,
    DifferenceOfMeans,
    Point,
    RandomDirections,
    Ridge,
    collect,
    fit_datamodel,
    response_derivative,
)
from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.designs import Bernoulli, ComplementaryPairs
from dmtheory.designs.seeds import Purpose, uniforms
from dmtheory.problems import BlackBox, LeastSquares

N_TRAIN = 6
DATA = table(N_TRAIN, 2, seed=2)
PROBLEM = LeastSquares(data=DATA, ridge=0.3, normalisation="count")
LAWS = ("rademacher", "gaussian", "sparse")


def a_problem(respond: Any, n_train: int = N_TRAIN, n_targets: int = 1) -> BlackBox:
    return BlackBox(
        description=a_description(n_train, n_targets, normalisation="count"),
        train_and_measure=respond,
    )


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("at", [1.0, (0.5, 1.0, 2.0, 0.7, 1.5, 0.9)])
def test_a_straight_line_is_recovered_to_rounding(law: str, at: Any) -> None:
    # Even terms around the point and the seed's own effect cancel in every pair.
    slope, point = normal(N_TRAIN, 2, seed=1), torch.tensor(at, dtype=torch.float64)

    def respond(weights: Tensor, seeds: Tensor) -> Tensor:
        bend = (weights - point).square().sum(1, keepdim=True)
        return weights @ slope + 7 * bend + (seeds % 1000)[:, None] + 3.0

    method = RandomDirections(step=0.1, law=law, density=0.4, n_pairs=40)
    found = response_derivative(a_problem(respond, n_targets=2), method, at=at)
    torch.testing.assert_close(found.scores, slope, rtol=0, atol=1e-9)
    assert found.stderr is not None
    assert found.stderr.max() < 1e-9
    weights = point.expand(N_TRAIN)
    assert found.estimand.point == Point.of(weights)
    assert found.estimand.quantity == "response derivative"
    assert found.n_models == 80
    assert found.seeds == {0}
    # A level for the whole: the mean response around the point is what the line says.
    design = method.design(weights.contiguous(), 0)
    rows = torch.arange(80)
    seen = respond(design.weights(rows, N_TRAIN), design.seeds(rows))
    assert found.intercept is not None
    level = found.intercept + weights @ found.scores
    torch.testing.assert_close(level, seen.mean(0), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "estimator", [OLS(), OLS(errors="robust"), Ridge(), DifferenceOfMeans()]
)
def test_half_steps_around_one_half_are_the_datamodel_bit_for_bit(
    estimator: DatamodelEstimator,
) -> None:
    method = RandomDirections(step=0.5, n_pairs=50, estimator=estimator)
    found = response_derivative(PROBLEM, method, at=0.5, seed=4)
    design = method.design(torch.full((N_TRAIN,), 0.5).double(), 4)
    masks = design.weights(torch.arange(100), N_TRAIN)
    expected = fit_datamodel(
        masks,
        collect(PROBLEM, design).outputs,
        design=ComplementaryPairs(n_pairs=50),
        estimator=estimator,
    )
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(found.scores, expected.scores)
    for name in ("stderr", "units", "intercept"):
        one, other = getattr(found, name), getattr(expected, name)
        assert torch.equal(one, other), name


def test_chosen_examples_are_rows_of_the_whole() -> None:
    method = RandomDirections(step=0.2, n_pairs=30)
    whole = response_derivative(PROBLEM, method)
    found = response_derivative(PROBLEM, method, coordinates=[4, 1])
    assert torch.equal(found.scores, whole.scores[[4, 1]])
    assert found.train_labels == ("row 4", "row 1")
    assert found.n_train == N_TRAIN
    assert found.method == (
        "rademacher directions, step 0.2, 30 pairs, OLS on RandomDirections, 60 "
        "models, " + found.method.rpartition(", ")[2]
    )


def test_twice_as_many_pairs_as_examples_by_default() -> None:
    assert response_derivative(PROBLEM, RandomDirections()).n_models == 4 * N_TRAIN


N_SLOPES, N_DRAWS = 5, 40


def random_slopes(weights: Tensor, seeds: Tensor) -> Tensor:
    """Return sum_i w_i (i/10 + u_i - 1/2) + 1000 u, anew in each target."""
    ids = torch.arange(N_DRAWS * (N_SLOPES + 1))
    own = uniforms(3, Purpose.DATA, seeds, ids).unflatten(1, (N_DRAWS, N_SLOPES + 1))
    slopes = torch.arange(N_SLOPES) / 10 + own[..., :N_SLOPES] - 0.5
    return torch.einsum("mi,mti->mt", weights, slopes) + 1000 * own[..., -1]


@pytest.mark.parametrize(
    ("law", "estimator", "n_pairs", "freedom"),
    [
        ("rademacher", OLS(), 25, 20),
        ("gaussian", OLS(errors="robust"), 80, 75),
        ("sparse", DifferenceOfMeans(), 80, 79),
        ("rademacher", DifferenceOfMeans(), 80, 79),
    ],
)
def test_intervals_cover_the_derivative_of_the_mean(
    law: str, estimator: DatamodelEstimator, n_pairs: int, freedom: int
) -> None:
    # 25 studies of 40 targets with noise of their own and 5 slopes: sigma is .003 if
    # all are independent. Those of a study share directions, which carry at most half
    # of the variance: .01 at the very worst, so that .03 is a false alarm below 3e-3 a
    # case, at fixed seeds. A wrong factor 2 or h is off by .3 and more.
    truth = (torch.arange(N_SLOPES) / 10).double()[:, None]
    problem = a_problem(random_slopes, N_SLOPES, N_DRAWS)
    method = RandomDirections(
        step=0.1, law=law, density=0.3, n_pairs=n_pairs, estimator=estimator
    )
    reach, covered = student.ppf(0.975, freedom), []
    for study in range(25):
        found = response_derivative(problem, method, seed=study)
        assert found.stderr is not None
        inside = (found.scores - truth).abs() <= reach * found.stderr
        covered.append(inside.double().mean().item())
    assert 0.92 < sum(covered) / 25 < 0.98


@pytest.mark.parametrize(
    ("method", "at", "message"),
    [
        ({"step": 0.0}, 1.0, "step must be finite and > 0, got 0"),
        ({"n_pairs": 0}, 1.0, "n_pairs must be at least 1, got 0"),
        ({"law": "uniform"}, 1.0, "law must be one of rademacher, gaussian, sparse"),
        (
            {"law": "sparse", "density": 0.0},
            1.0,
            r"density must lie in \(0",
        ),
        ({"step": 0.6}, 0.5, "step must keep weights >= 0: the largest move is 0.6"),
        (
            {"step": 0.3, "law": "gaussian"},
            1.0,
            "largest move is 1.2 where .* is 1",
        ),
        ({"step": 0.1}, [0.0] + [1.0] * 5, "largest move is 0.1 where the weight is 0"),
        ({}, Bernoulli(p=0.5), "at must be a point w for random directions"),
        ({"n_pairs": 5}, 1.0, "complementary pairs|pairs"),
    ],
)
def test_what_cannot_be_regressed_is_refused(
    method: dict[str, Any], at: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        response_derivative(PROBLEM, RandomDirections(**method), at=at)


def test_few_pairs_do_with_ridge_or_a_difference_of_means() -> None:
    # Ridge and the difference of means on 40 pairs of 60 examples: both correlate with
    # the truth; the least expected is 40/(40 + 60), a correlation of .63 +- .08.
    slope = normal(60, 1, seed=5)
    problem = a_problem(lambda w, s: w @ slope, 60)
    for estimator in (Ridge(), DifferenceOfMeans()):
        method = RandomDirections(step=0.1, n_pairs=40, estimator=estimator)
        found = response_derivative(problem, method)
        assert torch.corrcoef(torch.cat([found.scores, slope], dim=1).T)[0, 1] > 0.35


def test_a_jumping_output_is_warned_of() -> None:
    problem = BlackBox(
        description=a_description(2, 1, output="accuracy"),
        train_and_measure=lambda w, s: (w[:, :1] > 1).double(),
    )
    with pytest.warns(UserWarning, match="'accuracy' jumps"):
        response_derivative(problem, RandomDirections(n_pairs=5))

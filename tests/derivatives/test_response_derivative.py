"""Derivatives of the response against closed forms, enumeration and simulation."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import a_description, dataset, normal, table, unchecked
from scipy.stats import t as student
from torch import Tensor

from dmtheory import (
    AveragedDerivative,
    Central,
    DerivativeMethod,
    Directions,
    Examples,
    FiniteDifference,
    Forward,
    Groups,
    Implicit,
    Pathwise,
    RandomDirections,
    Richardson,
    leave_one_out,
    response_derivative,
)
from dmtheory.derivatives.averages.rises import Rises
from dmtheory.designs import Bernoulli, SubsetPairs
from dmtheory.problems import BlackBox, Description, LeastSquares, SampleMean
from dmtheory.problems.set_functions import all_masks
from dmtheory.theory.exhaustive import path_averaged_derivative, population_regression

N_TRAIN = 10
DATA = table(N_TRAIN, 3, seed=0)


def exact_derivative(problem: LeastSquares, level: float) -> Tensor:
    """Differentiate the closed form, written out here, at w = level·1."""
    x, y = problem.data.x_train, problem.data.y_train

    def outputs(w: Tensor) -> Tensor:
        divisor = w.sum() if problem.normalisation == "sum" else len(y)
        penalty = problem.ridge * torch.eye(x.shape[1]).double()
        curvature = x.T @ (w[:, None] * x) / divisor + penalty
        moment = x.T @ (w * y) / divisor
        return problem.data.x_target @ torch.linalg.solve(curvature, moment)

    at = torch.full((len(y),), level, dtype=torch.float64)
    return torch.func.jacrev(outputs)(at).T


@pytest.mark.parametrize("normalisation", ["sum", "count"])
@pytest.mark.parametrize("level", [1.0, 0.5])
def test_central_differences_tend_to_the_derivative_as_the_step_squared(
    normalisation: Any, level: float
) -> None:
    problem = LeastSquares(data=DATA, ridge=0.2, normalisation=normalisation)
    truth = exact_derivative(problem, level)
    errors = []
    for step in (0.2, 0.1, 0.05):
        method = FiniteDifference(step=step * level)
        found = response_derivative(problem, method, at=level)
        errors.append((found.scores - truth).norm().item())
    assert errors[2] < 1e-3 * truth.norm()
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.03)


@pytest.mark.parametrize("level", [1.0, 0.25])
def test_the_derivative_of_the_sample_mean_is_the_deviation_over_the_total(
    level: float,
) -> None:
    # A central difference of a ratio is exact up to 1/(1 - (h/W)^2).
    y = normal(6, seed=1)
    found = response_derivative(
        SampleMean(values=y), FiniteDifference(step=0.1), at=level
    )
    total = 6 * level
    expected = (y - y.mean()) / total / (1 - (0.1 / total) ** 2)
    torch.testing.assert_close(found.scores, expected[:, None], rtol=1e-10, atol=0)


def test_the_derivative_of_deterministic_training_is_exact_and_labelled() -> None:
    problem = LeastSquares(data=DATA, ridge=0.2)
    found = response_derivative(
        problem, FiniteDifference(step=0.1, n_seeds=20), at=0.5, coordinates=[7, 2]
    )
    whole = response_derivative(problem, FiniteDifference(step=0.1), at=0.5)
    assert torch.equal(found.scores, whole.scores[[7, 2]])
    assert found.exact
    assert found.units is None
    assert found.seeds == frozenset()
    assert found.n_models == 4
    assert found.n_train == N_TRAIN
    assert found.train_labels == ("row 7", "row 2")
    assert found.estimand.quantity == "response derivative"
    assert (found.estimand.point.kind, found.estimand.point.level) == ("weights", 0.5)
    assert found.estimand.problem == problem.description.digest
    assert found.estimand.unit == "per_weight"


def test_a_step_may_be_as_large_as_the_level() -> None:
    # From 2·level down to the example's absence: weights 2 level and exactly 0.
    y = normal(6, seed=1)
    for level in (1.0, 0.1, 0.3):
        found = response_derivative(
            SampleMean(values=y), FiniteDifference(step=level), at=level
        )
        expected = (y - y.mean()) / (6 * level) / (1 - 1 / 36)
        torch.testing.assert_close(found.scores, expected[:, None], rtol=1e-10, atol=0)


def described(n_train: int) -> Description:
    return Description(
        name="made-up",
        digest="made-up",
        output="sum",
        normalisation="count",
        step_policy="fixed",
        train_labels=tuple(f"row {i}" for i in range(n_train)),
        target_labels=("question",),
    )


def random_slopes(weights: Tensor, seeds: Tensor) -> Tensor:
    """Return sum_i w_i (i + u_i) + 1000 u_5 with u the seed's own random digits."""
    digits = torch.stack([(seeds >> (10 * i)) & 1023 for i in range(6)], dim=1) / 1024
    slopes = torch.arange(5).double() + digits[:, :5].double()
    return ((weights * slopes).sum(1) + 1000 * digits[:, 5].double())[:, None]


TRUE_SLOPES = torch.arange(5).double() + 1023 / 2048


@pytest.mark.parametrize("removed", [False, True])
def test_intervals_over_seeds_cover_the_derivative_of_the_mean(removed: bool) -> None:
    # 300 studies of 5 independent slopes, t intervals of 20 seeds: the coverage has
    # sigma sqrt(.95 · .05/1500) = .0056; [.92, .98] is over 5 sigma, 1e-6.
    problem = BlackBox(description=described(5), train_and_measure=random_slopes)
    covered = 0.0
    for study in range(300):
        if removed:
            found = leave_one_out(problem, n_seeds=20, seed=study)
        else:
            method = FiniteDifference(step=0.2, n_seeds=20)
            found = response_derivative(problem, method, seed=study)
        assert found.stderr is not None
        reach = student.ppf(0.975, 19) * found.stderr.flatten()
        gap = found.scores.flatten() - TRUE_SLOPES
        covered += (gap.abs() <= reach).double().mean().item()
    assert 0.92 < covered / 300 < 0.98


def test_a_common_seed_takes_the_seeds_own_effect_out() -> None:
    # The effect on the output has standard deviation 289, that on a slope 0.29.
    problem = BlackBox(description=described(5), train_and_measure=random_slopes)
    found = response_derivative(problem, FiniteDifference(step=0.2, n_seeds=50))
    assert found.stderr is not None
    assert found.units is not None
    assert found.units.shape == (50, 5, 1)
    torch.testing.assert_close(found.units.mean(0), found.scores)
    expected = found.units.std(0) / math.sqrt(50)
    torch.testing.assert_close(found.stderr, expected)
    assert found.stderr.max() < 0.1
    assert found.seeds == {0}
    assert found.n_models == 500
    assert found.estimand.seeds_per_weight == 50


@pytest.mark.parametrize("p", [0.3, 0.5])
def test_the_average_over_subsets_is_that_of_the_bridge(p: float) -> None:
    # 6 x 2 scores, each within 5 standard errors of 250 units: 1e-5. Mean z^2 lies
    # near 1, so that the standard errors are neither too small nor too large; with
    # correlated targets, chi-square of about 6 degrees: [.1, 3] is 1e-3.
    problem = LeastSquares(
        data=table(6, 2, n_targets=2, seed=1), ridge=0.2, normalisation="count"
    )
    method = FiniteDifference(step=0.01, n_seeds=250)
    found = response_derivative(problem, method, at=Bernoulli(p=p), seed=3)
    truth = path_averaged_derivative(problem, p)
    assert found.stderr is not None
    z = (found.scores - truth) / found.stderr
    assert z.abs().max() < 5
    assert 0.1 < z.square().mean() < 3
    assert found.stderr.norm() < 0.1 * truth.norm()
    assert not found.exact
    assert found.seeds == {3}
    assert found.n_models == 250 * 2 * 2 * 6
    assert (found.estimand.point.kind, found.estimand.point.level) == ("average", p)


@pytest.mark.parametrize("groups", [None, (0, 1, 0, 2, 2, 1)])
@pytest.mark.parametrize("p", [0.15, 0.5])
def test_under_sum_the_average_over_subsets_has_the_jump_from_nobody(
    p: float, groups: tuple[int, ...] | None
) -> None:
    # Where nobody else is in the weight of the one does not matter, but its presence
    # does: p = .15 has that in .44 of the units, or .72 of three groups'. Largest of 12
    # standardised gaps below 5: 1e-5. Without the jump they are 30 and more.
    problem = LeastSquares(data=table(6, 2, n_targets=2, seed=1), ridge=0.2)
    spread = list(groups or range(6))
    masks = all_masks(max(spread) + 1)
    outputs = problem.respond(masks[:, spread], torch.zeros(len(masks)).long())
    _, truth = population_regression(outputs, p)
    method = FiniteDifference(
        step=0.01,
        n_seeds=300,
        along=Examples() if groups is None else Groups(groups=groups),
    )
    found = response_derivative(problem, method, at=Bernoulli(p=p), seed=3)
    assert found.stderr is not None
    assert ((found.scores - truth) / found.stderr).abs().max() < 5
    assert found.stderr.max() < 0.1 * truth.abs().max()


def test_rows_of_rises_are_one_player_or_nobody() -> None:
    pairs = SubsetPairs(p=0.3, step=0.1, coordinates=(2, 0), n_units=4000, seed=3)
    for design in (Rises(pairs=pairs), Rises(pairs=replace(pairs, groups=(0, 2, 1)))):
        rows = torch.arange(design.n_models)
        weights, plain = design.weights(rows, 3), design.pairs.weights(rows, 3)
        alone = design.alone(rows, 3)
        # .7^2 of the pairs; 5 sigma of 16,000.
        assert abs(alone.double().mean().item() - 0.49) < 0.02
        assert torch.equal(weights[~alone], plain[~alone])
        assert torch.equal(alone[0::2], alone[1::2])
        assert (weights[alone].sum(1)[0::2] == 1).all()
        assert (weights[alone][1::2] == 0).all()
        gap = torch.cov(weights.T, correction=0) - design.covariance(3)
        assert gap.abs().max() < 0.01
        assert (torch.cov(plain.T, correction=0) - design.covariance(3)).abs().max() > (
            0.02
        )


def test_leave_one_out_of_least_squares_is_g_over_one_minus_leverage() -> None:
    # Theory 2.9, and statsmodels' own change of the coefficients.
    found = leave_one_out(LeastSquares(data=DATA))
    x, y, targets = (t.numpy() for t in (DATA.x_train, DATA.y_train, DATA.x_target))
    inverse = np.linalg.inv(x.T @ x)
    residuals = y - x @ (inverse @ x.T @ y)
    leverages = np.einsum("ij,jk,ik->i", x, inverse, x)
    g = (x @ inverse @ targets.T) * residuals[:, None]
    np.testing.assert_allclose(found.scores, g / (1 - leverages)[:, None], atol=1e-10)
    moved = sm.OLS(y, x).fit().get_influence().dfbeta
    np.testing.assert_allclose(found.scores, moved @ targets.T, atol=1e-10)
    assert found.exact
    assert found.n_models == N_TRAIN + 1
    assert found.estimand.quantity == "leave-one-out"


def test_progress_counts_every_training_once() -> None:
    counts: list[int] = []
    problem = LeastSquares(data=DATA, ridge=0.2)
    found = response_derivative(problem, progress=counts.append)
    assert sum(counts) == found.n_models
    counts.clear()
    assert leave_one_out(problem, progress=counts.append).n_models == sum(counts)


# What every method owes, each at a step of its own.
METHODS: dict[str, Callable[[float], DerivativeMethod]] = {
    "central": lambda h: FiniteDifference(step=h, n_seeds=3, rule=Central()),
    "forward": lambda h: FiniteDifference(step=h, n_seeds=3, rule=Forward()),
    "Richardson": lambda h: FiniteDifference(step=h, n_seeds=3, rule=Richardson()),
    "rademacher": lambda h: RandomDirections(step=h, n_pairs=15),
    "gaussian": lambda h: RandomDirections(step=h, n_pairs=15, law="gaussian"),
}
each_method = pytest.mark.parametrize("method", METHODS)
few = settings(max_examples=10)


def bent(weights: Tensor, seeds: Tensor) -> Tensor:
    """Return three smooth functions of five weights, each moved by the seed."""
    own = ((seeds[:, None] >> torch.arange(0, 50, 10)) & 1023).double() / 1024
    linear = weights * (own + torch.arange(5).double())
    outputs = [
        linear.sum(1).sin(),
        (weights**2 * own).sum(1),
        (linear.sum(1) / 10).exp(),
    ]
    return torch.stack(outputs, dim=1)


def three_targets(respond: Callable[[Tensor, Tensor], Tensor]) -> BlackBox:
    return BlackBox(description=a_description(5, 3), train_and_measure=respond)


@each_method
@given(mix=st.integers(0, 1000), seed=st.integers(0, 1000))
@few
def test_derivatives_are_linear_in_the_output(method: str, mix: int, seed: int) -> None:
    matrix, how = normal(3, 3, seed=mix), METHODS[method](0.05)
    plain = response_derivative(three_targets(bent), how, seed=seed)
    mixed = response_derivative(
        three_targets(lambda w, s: bent(w, s) @ matrix + 7.0), how, seed=seed
    )
    size = plain.scores.abs().max() * matrix.abs().max() + 7
    gap = (mixed.scores - plain.scores @ matrix).abs().max()
    assert gap <= 1e-11 * size


@each_method
@given(c=st.floats(0.2, 3.0), seed=st.integers(0, 1000))
@few
def test_scaling_all_weights_obeys_the_chain_rule(
    method: str, c: float, seed: int
) -> None:
    # G(w) = F(cw): g_G(w) = c g_F(cw), at a step that is scaled with the weights.
    at = (0.8, 1.0, 0.5, 1.2, 0.9)
    inner = response_derivative(
        three_targets(bent),
        METHODS[method](0.1 * c),
        at=[c * w for w in at],
        seed=seed,
    )
    outer = response_derivative(
        three_targets(lambda w, s: bent(c * w, s)),
        METHODS[method](0.1),
        at=at,
        seed=seed,
    )
    expected = c * inner.scores
    size = expected.abs().max() + 1
    assert (outer.scores - expected).abs().max() <= 1e-10 * size


@each_method
@given(draw=st.integers(0, 1000))
@few
def test_weighted_derivatives_of_scale_free_training_sum_to_zero(
    method: str, draw: int
) -> None:
    y, at = normal(5, seed=draw), 0.5 + normal(5, seed=draw + 1).square()
    problem, step = SampleMean(values=y), 1e-4
    found = response_derivative(problem, METHODS[method](step), at=at)
    total = (at @ found.scores).abs().item()
    size = (at @ found.scores.abs()).item()
    # A forward difference is off by (h/2) F_ii, (h/W) of a derivative.
    assert total <= (10 * step if method == "forward" else 1e-6) * size
    if method not in {"rademacher", "gaussian"}:
        # Along w itself F does not move at all, whatever the step.
        line = Directions(vectors=(tuple(at.tolist()),))
        rule = {"central": Central(), "forward": Forward()}.get(method, Richardson())
        far = FiniteDifference(step=0.7, rule=rule, along=line)
        along = response_derivative(problem, far, at=at)
        assert along.scores.abs().item() <= 1e-12


@each_method
@given(order=st.permutations(range(N_TRAIN)))
@few
def test_derivatives_move_with_the_examples(method: str, order: list[int]) -> None:
    # To rounding for differences; directions belong to places, so that regressions
    # differ by their bias, of order h^2.
    how = METHODS[method](1e-3)
    if isinstance(how, RandomDirections):
        how = replace(how, n_pairs=40)
    problem = LeastSquares(data=DATA, ridge=0.2)
    whole = response_derivative(problem, how).scores
    moved = dataset(
        torch.cat([DATA.x_train[order], DATA.x_target, DATA.x_held_out]),
        torch.cat([DATA.y_train[order], DATA.y_target, DATA.y_held_out]),
        n_train=N_TRAIN,
        n_targets=len(DATA.y_target),
    )
    found = response_derivative(LeastSquares(data=moved, ridge=0.2), how).scores
    within = 1e-5 if isinstance(how, RandomDirections) else 1e-9
    assert (found - whole[order]).abs().max() <= within * whole.abs().max()


@each_method
@given(copies=st.integers(1, 3), which=st.integers(0, N_TRAIN - 1))
@few
def test_duplicates_share_what_their_weight_together_does(
    method: str, copies: int, which: int
) -> None:
    # Copies under `sum` enter through their summed weight alone, so that each has the
    # derivative of one example with that weight.
    how = METHODS[method](1e-3)
    if isinstance(how, RandomDirections):
        how = replace(how, n_pairs=40)
    rows = [*range(N_TRAIN), *[which] * copies]
    copied = dataset(
        torch.cat([DATA.x_train[rows], DATA.x_target, DATA.x_held_out]),
        torch.cat([DATA.y_train[rows], DATA.y_target, DATA.y_held_out]),
        n_train=len(rows),
        n_targets=len(DATA.y_target),
    )
    found = response_derivative(LeastSquares(data=copied, ridge=0.2), how).scores
    weights = torch.ones(N_TRAIN, dtype=torch.float64)
    weights[which] = 1 + copies
    single = response_derivative(LeastSquares(data=DATA, ridge=0.2), how, at=weights)
    within = 1e-5 if isinstance(how, RandomDirections) else 1e-8
    gap = (found - single.scores[rows]).abs().max()
    assert gap <= within * single.scores.abs().max()


PROBLEM = LeastSquares(data=DATA, ridge=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"at": 0.04}, r"step must keep weights >= 0: .* 0\.05 where .* is 0\.04"),
        ({"at": Bernoulli(p=0.5), "step": 0.3}, r"step must not exceed 0\.103 .* 0\.3"),
        ({"at": 0.0}, "at must be finite and > 0, got 0"),
        ({"at": -1.0}, "at must be finite and > 0, got -1"),
        ({"at": math.inf}, "at must be finite and > 0, got inf"),
        ({"step": 0.0}, "step must be finite and > 0, got 0"),
        ({"n_seeds": 0}, "n_seeds must be at least 1, got 0"),
        ({"coordinates": [N_TRAIN]}, r"coordinates must lie in \[0, 10\), got 10"),
        ({"coordinates": [-1]}, r"coordinates must lie in \[0, 10\), got -1"),
        ({"coordinates": [3, 3]}, "coordinates must be distinct"),
        ({"coordinates": []}, "number of coordinates must be at least 1, got 0"),
        ({"seed": -1}, "seed must lie in"),
    ],
)
def test_a_derivative_that_cannot_be_taken_is_refused(
    arguments: dict[str, Any], message: str
) -> None:
    method = {k: arguments.pop(k) for k in ("step", "n_seeds") if k in arguments}
    with pytest.raises(ValueError, match=message):
        response_derivative(PROBLEM, FiniteDifference(**method), **arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: response_derivative(PROBLEM, Implicit),
            r"method must be an object such as Pathwise\(\), got <class",
        ),
        (
            lambda: response_derivative(PROBLEM, "pathwise"),
            "method must be an object such as .* got 'pathwise'",
        ),
        (lambda: Pathwise(mode="reverse"), "mode must be .* such as ReverseMode"),
        (lambda: Pathwise(along="groups"), "along must be .* such as Groups"),
        (lambda: Implicit(along=Groups), "along must be .* such as Groups"),
        (lambda: FiniteDifference(along="all"), "along must be .* such as Groups"),
        (lambda: FiniteDifference(rule="central"), "rule must be .* such as Forward"),
        (
            lambda: AveragedDerivative(by=FiniteDifference()),
            r"by must be an object such as Pathwise\(\) or Implicit\(\), got Finite",
        ),
        (
            lambda: AveragedDerivative(by=Pathwise(), rule="trapezoid"),
            "rule must be .* such as Trapezoid",
        ),
        (
            lambda: response_derivative(PROBLEM, coordinates=[1.5]),
            "coordinates must be numbers of examples, got 1.5",
        ),
        (
            lambda: response_derivative(PROBLEM, coordinates=[True, False]),
            "numbers of examples, got True: those of a mask are mask.nonzero",
        ),
    ],
)
def test_what_is_no_strategy_and_no_example_is_refused(make: Any, message: str) -> None:
    with unchecked(), pytest.raises(TypeError, match=message):
        make()


def test_coordinates_may_be_an_array() -> None:
    whole = response_derivative(PROBLEM).scores
    for coordinates in (np.array([7, 2]), torch.tensor([7, 2]), range(7, 1, -5)):
        with unchecked():
            found = response_derivative(PROBLEM, coordinates=coordinates)
        assert torch.equal(found.scores, whole[[7, 2]])


@pytest.mark.parametrize("coordinates", [[N_TRAIN], [-1], [3, 3], []])
def test_leaving_out_what_is_not_there_is_refused(coordinates: list[int]) -> None:
    with pytest.raises(ValueError, match="coordinates must"):
        leave_one_out(PROBLEM, coordinates=coordinates)


def test_a_training_that_diverged_is_named() -> None:
    def fails_when_light(weights: Tensor, seeds: Tensor) -> Tensor:
        light = weights[:, :1] < 1
        return torch.where(light, torch.nan, weights.sum(1, keepdim=True))

    problem = BlackBox(description=described(3), train_and_measure=fails_when_light)
    with pytest.raises(ValueError, match=r"2 of 12 trainings .* the first in row 1:"):
        response_derivative(problem, FiniteDifference(step=0.1, n_seeds=2))
    with pytest.raises(ValueError, match=r"2 of 8 trainings .* the first in row 1:"):
        leave_one_out(problem, n_seeds=2)

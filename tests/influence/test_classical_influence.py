"""Influence against statsmodels, finite differences and explicit loops."""

import copy
import math
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from samples import dataset, no_seeds, normal, table, weight_rows
from torch import Tensor, nn

from dmtheory import ExactHessian, GaussNewton, Point, influence
from dmtheory.designs import Bernoulli
from dmtheory.designs.seeds import model_seeds
from dmtheory.influence.at_models.gradients import prediction_jacobian
from dmtheory.influence.classical import weight_derivatives
from dmtheory.influence.curvature import (
    EKFAC,
    KFAC,
    EmpiricalFisher,
    Fisher,
    effective_parameters,
)
from dmtheory.influence.solvers import (
    ConjugateGradients,
    Dense,
    Eigendecomposition,
    Lanczos,
    Nystroem,
    Woodbury,
)
from dmtheory.problems import MLP, SGD, LeastSquares, LogisticRegression, Network

N_TRAIN = 16
NUMBERS = table(N_TRAIN, 3, seed=0)
CLASSES = table(N_TRAIN, 3, classes=2, seed=4)
each_normalisation = pytest.mark.parametrize("normalisation", ["sum", "count"])


def least_squares(normalisation: Any = "sum", ridge: float = 0.2) -> LeastSquares:
    return LeastSquares(data=NUMBERS, ridge=ridge, normalisation=normalisation)


def logistic(normalisation: Any = "sum", ridge: float = 0.05) -> LogisticRegression:
    return LogisticRegression(data=CLASSES, ridge=ridge, normalisation=normalisation)


def network(normalisation: Any = "sum") -> Network:
    return Network(
        make_module=MLP((2, 3, 3)),
        data=table(7, 2, classes=3, seed=2),
        training=SGD(epochs=3, batch_size=4, weight_decay=0.02),
        normalisation=normalisation,
    )


def test_influence_in_least_squares_is_leave_one_out_times_one_minus_leverage() -> None:
    # Theory 2.9. statsmodels drops each row by its own formulas.
    data = replace(
        NUMBERS,
        x_target=NUMBERS.x_train,
        y_target=NUMBERS.y_train,
        target_labels=NUMBERS.train_labels,
    )
    found = influence(LeastSquares(data=data)).scores
    x = NUMBERS.x_train.numpy()
    dropped = sm.OLS(NUMBERS.y_train.numpy(), x).fit().get_influence()
    leverage = dropped.hat_matrix_diag
    removal = found.numpy() / (1 - leverage)[:, None]
    np.testing.assert_allclose(removal, dropped.dfbeta @ x.T, rtol=0, atol=1e-10)
    own = dropped.resid_press - dropped.resid
    np.testing.assert_allclose(np.diag(removal), own, rtol=0, atol=1e-10)


def differences(problem: Any, weights: Tensor, step: float = 1e-3) -> Tensor:
    """Return dF/dw by differences with error of order step^4 (3 where w_i = 0)."""
    rows = []
    for i in range(N_TRAIN):
        inside = weights[i] > 0
        moves = [-2.0, -1.0, 1.0, 2.0] if inside else [0.0, 1.0, 2.0, 3.0]
        factors = [1.0, -8.0, 8.0, -1.0] if inside else [-22.0, 36.0, -18.0, 4.0]
        points = weights.repeat(4, 1)
        points[:, i] += step * torch.tensor(moves, dtype=torch.float64)
        outputs = problem.respond(points, no_seeds(4))
        scale = torch.tensor(factors, dtype=torch.float64) / (12 * step)
        rows.append(scale @ outputs)
    return torch.stack(rows)


@each_normalisation
@pytest.mark.parametrize("make", [least_squares, logistic])
def test_implicit_derivatives_are_those_of_the_retrained_response(
    make: Any, normalisation: str
) -> None:
    # Theory 3.4, norm-wise a target, at 1, at p·1 and at unequal weights with zeros.
    problem = make(normalisation)
    weights = torch.ones(3, N_TRAIN).double()
    weights[1] = 0.5
    weights[2] = weight_rows(1, N_TRAIN, seed=1)[0]
    assert 0 < (weights[2] == 0).sum() < N_TRAIN - 4
    found = weight_derivatives(problem, weights, no_seeds(3))
    for w, g in zip(weights, found, strict=True):
        truth = differences(problem, w)
        error = (g - truth).norm(dim=0) / truth.norm(dim=0)
        assert error.max() < 1e-6


@each_normalisation
def test_gauss_newton_is_the_hessian_where_predictions_are_linear(
    normalisation: str,
) -> None:
    for problem in (least_squares(normalisation), logistic(normalisation)):
        weights = weight_rows(4, N_TRAIN, seed=2)
        exact = weight_derivatives(problem, weights, no_seeds(4))
        other = weight_derivatives(
            problem, weights, no_seeds(4), curvature=GaussNewton()
        )
        torch.testing.assert_close(other, exact, rtol=1e-9, atol=1e-12)


def written_curvature(
    problem: Network, theta: Tensor, scaled: Tensor, *, gauss_newton: bool
) -> Tensor:
    """Return the curvature of J an example at a time."""
    module = problem.make_module()
    names = [name for name, _ in module.named_parameters()]
    sizes = [p.numel() for p in module.parameters()]
    shapes = [p.shape for p in module.parameters()]

    def logits(flat: Tensor, j: int) -> Tensor:
        pieces = [p.view(s) for p, s in zip(flat.split(sizes), shapes, strict=True)]
        params = dict(zip(names, pieces, strict=True))
        return torch.func.functional_call(module, params, (problem.data.x_train[j],))

    total = problem.training.weight_decay * torch.eye(len(theta)).double()
    for j, share in enumerate(scaled.tolist()):
        y = problem.data.y_train[j]
        if gauss_newton:
            jacobian = torch.autograd.functional.jacobian(
                lambda flat, j=j: logits(flat, j), theta
            )
            chances = torch.softmax(logits(theta, j), 0)
            middle = torch.diag(chances) - chances[:, None] * chances
            total = total + share * jacobian.T @ middle @ jacobian
        else:
            total = total + share * torch.autograd.functional.hessian(
                lambda flat, j=j, y=y: -torch.log_softmax(logits(flat, j), 0)[y], theta
            )
    return total.detach()


@pytest.mark.parametrize("gauss_newton", [True, False])
def test_the_curvature_of_a_network_is_the_sum_over_its_examples(
    gauss_newton: bool,
) -> None:
    problem = network()
    theta = normal(problem.initial(no_seeds(1)).shape[1], seed=3)
    scaled = weight_rows(1, 7, seed=4)[0] / 7
    rule = GaussNewton() if gauss_newton else ExactHessian()
    jacobian = prediction_jacobian(problem, theta)
    found = rule.matrix(problem, theta, scaled, jacobian)
    expected = written_curvature(problem, theta, scaled, gauss_newton=gauss_newton)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@each_normalisation
def test_influence_of_a_network_is_the_written_formula(normalisation: str) -> None:
    # tau_i = -grad f' (G + damping I)^-1 grad l_i, an example at a time; under sum
    # also the derivative of the divisor W = sum w.
    problem, damping = network(normalisation), 0.03
    found = influence(
        problem, curvature=GaussNewton(), damping=damping, at=0.5, n_seeds=2, seed=5
    )
    seeds = model_seeds(5, torch.arange(2))
    half = torch.full((2, 7), 0.5, dtype=torch.float64)
    units = []
    for theta in problem.fit(half, seeds).params:
        divisor = 3.5 if normalisation == "sum" else 7.0
        scaled = torch.full((7,), 0.5 / divisor, dtype=torch.float64)
        matrix = written_curvature(problem, theta, scaled, gauss_newton=True)
        matrix = matrix + damping * torch.eye(len(theta)).double()
        module = problem.make_module()
        nn.utils.vector_to_parameters(theta, module.parameters())
        parameters = list(module.parameters())

        def flat_gradient(value: Tensor, parameters: list[Any] = parameters) -> Tensor:
            pieces = torch.autograd.grad(value, parameters)
            return torch.cat([piece.flatten() for piece in pieces])

        tau = torch.zeros(7, 4).double()
        for i, t in product(range(7), range(4)):
            chances = torch.log_softmax(module(problem.data.x_train[i]), 0)
            loss = -chances[problem.data.y_train[i]]
            own = torch.softmax(module(problem.data.x_target[t]), 0)[
                problem.data.y_target[t]
            ]
            raised = flat_gradient(torch.log(own / (1 - own)))
            tau[i, t] = -raised @ torch.linalg.solve(matrix, flat_gradient(loss))
        if normalisation == "sum":
            tau = tau - 0.5 * tau.sum(0) / divisor
        units.append(tau / divisor)
    assert found.units is not None
    torch.testing.assert_close(found.units, torch.stack(units), rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(found.scores, torch.stack(units).mean(0))
    assert found.stderr is not None
    spread = (units[0] - units[1]).abs() / 2  # the standard error of a mean of two
    torch.testing.assert_close(found.stderr, spread, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("problem", [least_squares(), logistic()], ids=["ls", "logit"])
def test_scale_free_derivatives_sum_to_zero_and_fall_as_one_over_the_scale(
    problem: Any,
) -> None:
    # Theory 2.8, ridge included.
    weights = weight_rows(3, N_TRAIN, seed=5)
    g = weight_derivatives(problem, weights, no_seeds(3))
    total = torch.einsum("mi,mit->mt", weights, g)
    assert total.abs().max() < 1e-12 * N_TRAIN
    scaled = weight_derivatives(problem, 0.25 * weights, no_seeds(3))
    torch.testing.assert_close(scaled, 4 * g, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("make", [least_squares, logistic])
def test_count_trades_the_scale_for_the_penalty(make: Any) -> None:
    # Theory 2.8: g(p·1; ridge) = (1/p) g(1; ridge/p); scale-free it is not.
    at_p = influence(make("count", ridge=0.1), at=0.4).scores
    at_one = influence(make("count", ridge=0.25)).scores
    torch.testing.assert_close(at_p, at_one / 0.4, rtol=1e-7, atol=1e-10)
    assert make("count", ridge=0.1).description.normalisation == "count"
    same_ridge = influence(make("count", ridge=0.1)).scores
    assert (at_p - same_ridge / 0.4).norm() > 0.01 * at_p.norm()


@each_normalisation
@pytest.mark.parametrize("p", [0.3, 0.5])
def test_over_subsets_it_estimates_the_trapezoid_of_the_bridge(
    normalisation: str, p: float
) -> None:
    # 6 x 2 scores, each within 5 standard errors of 600 models: false alarm 1e-5.
    problem = LeastSquares(
        data=table(6, 2, n_targets=2, seed=1), ridge=0.2, normalisation=normalisation
    )
    found = influence(problem, at=Bernoulli(p=p, n_models=600, seed=99), seed=1)
    truth = torch.zeros(6, 2).double()
    for subset in product((0.0, 1.0), repeat=6):
        mask = torch.tensor(subset, dtype=torch.float64)
        g = weight_derivatives(problem, mask[None], no_seeds(1))[0]
        for i in range(6):
            rest = mask.sum().item() - subset[i]
            truth[i] += 0.5 * p**rest * (1 - p) ** (5 - rest) * g[i]
    assert found.stderr is not None
    assert found.units is not None
    assert found.units.shape == (600, 6, 2)
    z = (found.scores - truth) / found.stderr
    assert z.abs().max() < 5
    assert 0.1 < z.square().mean() < 3
    assert found.stderr.norm() < 0.2 * truth.norm()
    assert (found.estimand.point.kind, found.estimand.point.level) == ("average", p)
    assert found.seeds == {1}
    assert not found.exact


def test_at_one_half_it_is_the_plain_average_over_random_halves() -> None:
    problem, law = logistic("count"), Bernoulli(p=0.5, n_models=12, seed=8)
    found = influence(problem, at=law, seed=8)
    masks = law.weights(torch.arange(12), N_TRAIN)
    plain = torch.stack([
        weight_derivatives(problem, mask[None], no_seeds(1))[0] for mask in masks
    ]).mean(0)
    torch.testing.assert_close(found.scores, plain, rtol=1e-9, atol=1e-12)


@each_normalisation
@pytest.mark.parametrize("level", [1.0, 0.5])
def test_effective_parameters_are_the_trace_of_the_smoother(
    normalisation: str, level: float
) -> None:
    # Of least squares: tr X (X'X + N ridge I)^-1 X', a sum over singular values.
    divisor = 1.0 if normalisation == "sum" else 1 / level
    squared = np.linalg.svd(NUMBERS.x_train.numpy(), compute_uv=False) ** 2 / N_TRAIN
    expected = (squared / (squared + 0.2 * divisor)).sum()
    found = effective_parameters(least_squares(normalisation), at=level)
    assert found == pytest.approx(expected, rel=1e-10)
    assert effective_parameters(least_squares(normalisation, 0.0)) == pytest.approx(3)


def test_effective_parameters_of_a_logistic_model_weigh_by_its_uncertainty() -> None:
    problem = logistic(ridge=0.05)
    theta = problem.fit(torch.ones(1, N_TRAIN).double(), no_seeds(1)).params[0].numpy()
    x = CLASSES.x_train.numpy()
    chance = 1 / (1 + np.exp(-x @ theta))
    data = (x * (chance * (1 - chance))[:, None]).T @ x / N_TRAIN
    expected = np.trace(data @ np.linalg.inv(data + 0.05 * np.eye(3)))
    assert effective_parameters(problem) == pytest.approx(expected, rel=1e-9)


def test_a_fixed_point_of_deterministic_training_is_exact_and_labelled() -> None:
    counts: list[int] = []
    found = influence(
        logistic(), at=0.5, coordinates=[9, 3], n_seeds=7, progress=counts.append
    )
    whole = influence(logistic(), at=0.5)
    assert torch.equal(found.scores, whole.scores[[9, 3]])
    assert found.exact
    assert found.seeds == frozenset()
    assert found.n_models == 1 == sum(counts)
    assert found.train_labels == ("row 9", "row 3")
    assert found.n_train == N_TRAIN
    assert found.estimand.quantity == "influence"
    assert (found.estimand.point.kind, found.estimand.point.level) == ("weights", 0.5)
    assert found.estimand.problem == logistic().description.digest


SOLVERS: dict[str, Any] = {
    "dense": Dense(),
    "eigendecomposition": Eigendecomposition(),
    "woodbury": Woodbury(),
    "cg": ConjugateGradients(tolerance=1e-11),
    "nystroem": Nystroem(rank=21),
    "lanczos": Lanczos(rank=21),
}


@each_normalisation
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_gives_the_same_influence(name: str, normalisation: str) -> None:
    # The default takes all models and examples at once; solvers one model in chunks.
    problem = network(normalisation)
    weights = weight_rows(2, 7, seed=3)
    stated: Any = {
        "at": weights[0],
        "n_seeds": 2,
        "seed": 4,
        "curvature": GaussNewton(),
        "damping": 0.03,
    }
    plain = influence(problem, **stated)
    found = influence(problem, solver=SOLVERS[name], **stated)
    near: Any = {"rtol": 0, "atol": 1e-9}
    assert plain.units is not None
    torch.testing.assert_close(found.units, plain.units, **near)
    some = influence(problem, solver=SOLVERS[name], coordinates=[5, 0], **stated)
    torch.testing.assert_close(some.scores, plain.scores[[5, 0]], **near)
    assert f"{SOLVERS[name].name}, residual at most " in found.method
    assert found.estimand.point == Point.of(weights[0])
    assert found.estimand.point.kind == "vector"


@pytest.mark.parametrize("curvature", [Fisher(), EmpiricalFisher()], ids=["f", "e"])
def test_other_curvatures_take_both_ways_too(curvature: Any) -> None:
    stated: Any = {"curvature": curvature, "damping": 0.1, "seed": 4, "n_seeds": 2}
    plain = influence(network(), **stated)
    found = influence(network(), solver=Woodbury(), **stated)
    torch.testing.assert_close(found.scores, plain.scores, rtol=0, atol=1e-10)
    exact = influence(network(), **{**stated, "curvature": GaussNewton()})
    same = torch.allclose(exact.scores, plain.scores, rtol=0, atol=1e-10)
    assert same == isinstance(curvature, Fisher)


def test_given_parameters_are_taken_without_training() -> None:
    problem, damping = network(), 0.05
    seeds = model_seeds(5, torch.arange(2))
    half = torch.full((2, 7), 0.5, dtype=torch.float64)
    params = problem.fit(half, seeds).params
    stated: Any = {"curvature": GaussNewton(), "damping": damping, "at": 0.5}
    trained = influence(problem, n_seeds=2, seed=5, **stated)

    class Untrainable(Network):
        def fit(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("trained")

    fields = {name: getattr(problem, name) for name in ("make_module", "data")}
    given = Untrainable(training=problem.training, **fields)
    found = influence(given, parameters=params, **stated)
    assert torch.equal(found.scores, trained.scores)
    torch.testing.assert_close(found.stderr, trained.stderr)
    assert (found.n_models, found.seeds) == (0, frozenset())
    assert "2 given model(s)" in found.method
    one = influence(given, parameters=params[0], **stated)
    assert trained.units is not None
    assert torch.equal(one.scores, trained.units[0])
    assert one.stderr is None  # of one network nobody knows the spread
    exact = influence(logistic(), parameters=logistic_optimum())
    assert exact.exact


def logistic_optimum() -> Tensor:
    fit = logistic().fit(torch.ones(1, N_TRAIN).double(), no_seeds(1))
    return fit.params[0]


def test_leave_one_out_refits_follow_influence_at_slope_one() -> None:
    # F(1) - F(1 - t e_i) = t g_i + O(t^2/N): the error of the quotient halves with t.
    n = 120
    problem = replace(logistic(), data=table(n, 3, classes=2, seed=4))
    g = influence(problem).scores
    errors = []
    for t in (1.0, 0.5):
        points = torch.ones(n + 1, n).double()
        points[1:] -= t * torch.eye(n).double()
        outputs = problem.respond(points, no_seeds(n + 1))
        change = (outputs[:1] - outputs[1:]) / t
        errors.append((change - g).norm().item())
        if t == 1.0:
            slope = (change * g).sum(0) / g.square().sum(0)
            pairs = torch.stack([change.flatten(), g.flatten()])
            assert ((slope > 1.0) & (slope < 1.06)).all()
            assert torch.corrcoef(pairs)[0, 1] > 0.999
    assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.02)


def test_duplicates_share_equally() -> None:
    # Theory: weight 2 on one example is weight 1 on each of two; d/dw is the same.
    doubled = dataset(
        torch.cat([CLASSES.x_train[:1], CLASSES.x_train, CLASSES.x_target]),
        torch.cat([CLASSES.y_train[:1], CLASSES.y_train, CLASSES.y_target]),
        n_train=N_TRAIN + 1,
        n_targets=len(CLASSES.x_target) - 1,
    )
    twice = LogisticRegression(data=doubled, ridge=0.05)
    once = replace(logistic(), data=replace_targets(CLASSES, len(CLASSES.x_target) - 1))
    weights = torch.ones(N_TRAIN).double()
    weights[0] = 2
    found = influence(twice).scores
    expected = influence(once, at=weights).scores
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=0)
    torch.testing.assert_close(found[1:], expected, rtol=1e-7, atol=1e-10)


def replace_targets(data: Any, n: int) -> Any:
    return replace(
        data,
        x_target=data.x_target[:n],
        y_target=data.y_target[:n],
        target_labels=data.target_labels[:n],
    )


def linear_network(*widths: int) -> Network:
    layers = [nn.Linear(a, b, bias=False) for a, b in pairwise(widths)]
    return Network(
        make_module=lambda: nn.Sequential(*(copy.deepcopy(one) for one in layers)),
        data=NUMBERS,
        training=SGD(epochs=1, weight_decay=0.2),
        output="prediction",
    )


@pytest.mark.parametrize("solver", [None, ConjugateGradients(tolerance=1e-12)])
@pytest.mark.parametrize(
    "curvature", [ExactHessian(), GaussNewton(), Fisher()], ids=["h", "g", "f"]
)
def test_a_linear_network_at_its_optimum_is_least_squares(
    curvature: Any, solver: Any
) -> None:
    exact = least_squares()
    theta = exact.fit(torch.ones(1, N_TRAIN).double(), no_seeds(1)).params
    found = influence(
        linear_network(3, 1), parameters=theta, curvature=curvature, solver=solver
    )
    torch.testing.assert_close(
        found.scores, influence(exact).scores, rtol=1e-9, atol=1e-11
    )


def test_a_deep_linear_network_needs_its_own_second_derivative() -> None:
    # Exact minimisers of J(.; w) by Newton's method, differences of order step^4.
    problem = linear_network(3, 1, 1)
    x, y = NUMBERS.x_train, NUMBERS.y_train

    def minimiser(w: Tensor, start: Tensor, steps: int = 3) -> Tensor:
        def objective(theta: Tensor) -> Tensor:
            z = (x @ theta[:3]) * theta[3]
            return w @ (z - y).square() / (2 * w.sum()) + 0.1 * theta.square().sum()

        theta = start
        for _ in range(steps):
            hessian = torch.func.hessian(objective)(theta)
            theta = theta - torch.linalg.solve(
                hessian, torch.func.grad(objective)(theta)
            )
        assert torch.func.grad(objective)(theta).norm() < 1e-12
        assert torch.linalg.eigvalsh(hessian)[0] > 0
        return theta

    ridge = torch.linalg.lstsq(x, y).solution
    start = torch.cat([ridge / ridge.norm().sqrt(), ridge.norm().sqrt()[None]])
    w = 0.5 + weight_rows(1, N_TRAIN, seed=8)[0]
    here, step = minimiser(w, start, steps=30), 1e-3
    truth = []
    for i in range(N_TRAIN):
        moved = []
        for t in (-2, -1, 1, 2):
            point = w.clone()
            point[i] += t * step
            moved.append(problem.target_outputs(minimiser(point, here)))
        truth.append((moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * step))
    g = torch.stack(truth)
    found = influence(problem, parameters=here, at=w)
    assert ((found.scores - g).norm(dim=0) / g.norm(dim=0)).max() < 1e-6
    flat = influence(problem, parameters=here, at=w, curvature=GaussNewton())
    assert ((flat.scores - g).norm(dim=0) / g.norm(dim=0)).min() > 1e-3


def test_kronecker_factored_influence_is_near_gauss_newton_in_slope() -> None:
    pytest.importorskip("curvlinops", reason="needs the extra `curvature`")
    law = Bernoulli(p=0.5, n_models=3, seed=1)
    for at in (0.5, law):
        stated: Any = {"at": at, "damping": 0.05, "n_seeds": 3}
        exact = influence(network(), curvature=GaussNewton(), **stated).scores
        for curvature in (KFAC(), EKFAC()):
            found = influence(network(), curvature=curvature, **stated).scores
            slope = (found * exact).sum() / exact.square().sum()
            assert 0.6 < slope < 1.4
    with pytest.raises(ValueError, match="weights must be equal, zero aside, for EK"):
        influence(network(), curvature=EKFAC(), at=torch.arange(1.0, 8).double())


def test_negative_curvature_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"exact Hessian positive definite, .* models"):
        influence(network(), n_seeds=3)
    damped = influence(network(), damping=10.0, n_seeds=3)
    assert damped.n_models == 3


def test_a_training_that_did_not_converge_is_refused() -> None:
    problem = replace(logistic(), tolerance=1e-300)
    with pytest.raises(ValueError, match=r"must converge .* 1 of 1 models did not"):
        influence(problem)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"damping": -0.1}, "damping must be finite and >= 0, got -0.1"),
        ({"damping": math.nan}, "damping must be finite and >= 0, got nan"),
        ({"n_seeds": 0}, "n_seeds must be at least 1, got 0"),
        ({"at": 0.0}, "at must be finite and > 0, got 0"),
        ({"at": -0.5}, "at must be finite and > 0, got -0.5"),
        ({"coordinates": [N_TRAIN]}, r"coordinates must lie in \[0, 16\), got 16"),
        ({"coordinates": [-1]}, r"coordinates must lie in \[0, 16\), got -1"),
        ({"coordinates": [2, 2]}, "coordinates must be distinct"),
        ({"coordinates": []}, "coordinates must be at least 1, got 0"),
        ({"memory": 1000}, "memory must be at least 1048576, got 1000"),
        ({"at": [1.0, 2.0]}, r"at must be a number, or one weight an example"),
        ({"parameters": torch.zeros(2)}, "parameters must give parameters in float64"),
        (
            {"parameters": torch.zeros(2).double()},
            "parameters must be parameter vectors of the problem, got 2",
        ),
        (
            {
                "parameters": torch.zeros(3).double(),
                "at": Bernoulli(p=0.5, n_models=1),
            },
            "at must be a point where parameters are given",
        ),
    ],
)
def test_an_influence_that_cannot_be_taken_is_refused(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        influence(logistic(), **arguments)

"""Ill-conditioned models: solved to their minimiser, or marked; never just wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import mpmath
import numpy as np
import pytest
import torch
from samples import no_seeds, normal, table, weight_rows
from torch import Tensor

from dmtheory.data import Dataset
from dmtheory.problems import LeastSquares, LogisticRegression, SoftmaxRegression
from dmtheory.problems.convex import newton, solve
from dmtheory.problems.convex.objective import Objective

SPLITS = ("train", "target", "held_out")
both_systems = pytest.mark.parametrize("most_factored", [1000, 1])


def in_units(data: Dataset, scales: Tensor | float) -> Dataset:
    changed = {f"x_{split}": getattr(data, f"x_{split}") * scales for split in SPLITS}
    return replace(data, **changed)


def units(n_features: int) -> Tensor:
    return 10 ** torch.linspace(-3, 3, n_features, dtype=torch.float64)


def exact_minimiser(
    data: Dataset, w: Tensor, ridge: float, *, classes: bool
) -> np.ndarray:
    """Return the minimiser of J by Newton's method with 50 digits."""
    with mpmath.workdps(50):
        x, y = mpmath.matrix(data.x_train.tolist()), data.y_train.tolist()
        total = mpmath.fsum(w.tolist())
        shares = [mpmath.mpf(value) / total for value in w.tolist()]
        theta = mpmath.zeros(x.cols, 1)
        for _ in range(200):
            z = x * theta
            means = [1 / (1 + mpmath.exp(-v)) for v in z] if classes else list(z)
            bends = [m * (1 - m) if classes else 1 for m in means]
            g, h = ridge * theta, ridge * mpmath.eye(x.cols)
            for j, s in enumerate(shares):
                if s:
                    g += s * (means[j] - y[j]) * x[j, :].T
                    h += s * bends[j] * (x[j, :].T * x[j, :])
            step = mpmath.lu_solve(h, -g)
            theta += step
            if mpmath.norm(step) < 1e-30 * mpmath.norm(theta):
                return np.array([float(v) for v in theta])
    raise AssertionError("no minimiser found")


def relative_error(found: Tensor, exact: np.ndarray) -> float:
    return float(np.linalg.norm(found.numpy() - exact) / np.linalg.norm(exact))


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, method: str) -> Iterator[list[int]]:
    """Count calls of a method of Objective."""
    calls = [0]
    original: Callable[..., Tensor] = getattr(Objective, method)

    def counting(*args: Tensor) -> Tensor:
        calls[0] += 1
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Objective, method, counting)
        yield calls


@pytest.mark.parametrize("ridge", [1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_a_converged_separable_model_is_at_its_minimiser(
    ridge: float, scale: float
) -> None:
    # The gradient is small long before: it falls as exp(-margin).
    data = in_units(table(30, 4, classes=2, seed=0), scale)
    weights = weight_rows(3, 30, seed=2)
    weights[:2, 5:] = 0
    fit = LogisticRegression(data=data, ridge=ridge).fit(weights, no_seeds(3))
    for w, theta, converged in zip(weights, fit.params, fit.converged, strict=True):
        exact = exact_minimiser(data, w, ridge, classes=True)
        assert relative_error(theta, exact) < 1e-6 or not converged
    assert bool(fit.converged[2])
    # Marked only where the gradient's rounding over the ridge is large.
    assert bool(fit.converged.all()) == (scale == 1.0 or ridge == 1e-6)


@pytest.mark.parametrize("ridge", [1e-3, 1e-8])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_ridge_regression_with_fewer_examples_than_features_is_at_its_minimiser(
    ridge: float, scale: float
) -> None:
    # At scale 1e3 and ridge 1e-8 one Cholesky solve is off by several per cent.
    data = in_units(table(15, 20, seed=0), scale)
    weights = weight_rows(3, 15, seed=2)
    fit = LeastSquares(data=data, ridge=ridge).fit(weights, no_seeds(3))
    assert bool(fit.converged.all())
    for w, theta in zip(weights, fit.params, strict=True):
        exact = exact_minimiser(data, w, ridge, classes=False)
        assert relative_error(theta, exact) < 1e-8


@pytest.mark.parametrize("make", [LeastSquares, LogisticRegression])
@pytest.mark.parametrize("ridge", [1e-8, 2e-3])
def test_many_features_are_solved_as_by_factors(
    monkeypatch: pytest.MonkeyPatch,
    make: type[LeastSquares] | type[LogisticRegression],
    ridge: float,
) -> None:
    # Products of the larger ridge are in single precision.
    data = table(40, 150, classes=0 if make is LeastSquares else 2, seed=9)
    weights = weight_rows(3, 40, seed=10)
    fit = make(data=data, ridge=ridge).fit(weights, no_seeds(3))
    assert bool(fit.converged.all())
    monkeypatch.setattr(solve, "MOST_FACTORED", 1000)
    monkeypatch.setattr("dmtheory.problems.linear.MOST_FACTORED", 1000)
    exact = make(data=data, ridge=ridge).fit(weights, no_seeds(3))
    assert bool(exact.converged.all())
    for found, expected in zip(fit.params, exact.params, strict=True):
        assert relative_error(found, expected.numpy()) < 1e-7


def test_a_singular_model_harms_no_other() -> None:
    # Five examples in twenty dimensions, features of 1e5 and a ridge of 1e-8: the
    # curvature is singular to rounding. Forty examples are enough.
    data = in_units(table(40, 20, seed=0), 1e5)
    weights = weight_rows(70, 40, seed=2) + 0.1
    weights[3, 5:] = 0
    problem = LeastSquares(data=data, ridge=1e-8)
    outputs = problem.respond(weights, no_seeds(70))
    assert outputs.isnan().any(1).nonzero().tolist() == [[3]]
    others = torch.arange(70) != 3
    alone = problem.respond(weights[others], no_seeds(69))
    assert torch.equal(outputs[others], alone)


@both_systems
def test_a_singular_classifier_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, most_factored: int
) -> None:
    monkeypatch.setattr(solve, "MOST_FACTORED", most_factored)
    data = in_units(table(200, 20, classes=2, seed=0), 300)
    weights = weight_rows(70, 200, seed=2) + 0.1
    weights[3, 5:] = 0
    problem = LogisticRegression(data=data, ridge=1e-14)
    fit = problem.fit(weights, no_seeds(70), keep_factor=True)
    assert (~fit.converged).nonzero().tolist() == [[3]]
    others = torch.arange(70) != 3
    alone = problem.fit(weights[others], no_seeds(69))
    assert torch.equal(fit.params[others], alone.params)
    assert bool(alone.converged.all())


@both_systems
@pytest.mark.parametrize("make", [LogisticRegression, SoftmaxRegression])
def test_a_warm_start_at_the_optimum_needs_one_step(
    monkeypatch: pytest.MonkeyPatch,
    most_factored: int,
    make: type[LogisticRegression] | type[SoftmaxRegression],
) -> None:
    monkeypatch.setattr(solve, "MOST_FACTORED", most_factored)
    problem = make(data=table(40, 5, classes=2, seed=0), ridge=1e-2)
    weights = weight_rows(3, 40, seed=5)
    cold = problem.fit(weights, no_seeds(3))
    assert bool(cold.converged.all())
    monkeypatch.setattr(newton, "_MAX_STEPS", 1)
    assert not bool(problem.fit(weights, no_seeds(3)).converged.any())
    warm = problem.fit(weights, no_seeds(3), start=cold.params)
    assert bool(warm.converged.all())
    # One row for all: the optimum of the first model alone.
    shared = problem.fit(weights, no_seeds(3), start=cold.params[:1])
    assert shared.converged.tolist() == [True, False, False]


@pytest.mark.parametrize("octave", [-1, 0, 3])
def test_an_exact_preconditioner_needs_one_product_a_newton_step(
    monkeypatch: pytest.MonkeyPatch, octave: int
) -> None:
    # Weights of 2^octave under count: c H_data + ridge I is the Hessian itself. The
    # ridge lies inside H_data's spectrum, so no other c or ridge would do.
    data = in_units(table(60, 140, seed=0), torch.linspace(0.3, 3, 140).double())
    problem = LeastSquares(data=data, ridge=0.5, normalisation="count")
    weights = 2.0**octave * torch.ones(2, 60).double()
    problem.fit(weights, no_seeds(2))  # the preconditioner is made once
    with (
        counted(monkeypatch, "curve") as products,
        counted(monkeypatch, "gradient") as gradients,
    ):
        assert bool(problem.fit(weights, no_seeds(2)).converged.all())
    assert gradients[0] - 1 == products[0]


@pytest.mark.parametrize(
    ("n_train", "decades", "ridge", "most"), [(60, 3, 1e-3, 1500), (400, 6, 1e-12, 150)]
)
def test_conjugate_gradients_take_features_in_any_units(
    monkeypatch: pytest.MonkeyPatch,
    n_train: int,
    decades: int,
    ridge: float,
    most: int,
) -> None:
    # 978 and 72 products; an inverse in single precision takes 4614 for the first, one
    # of a Hessian whose diagonal is not one takes far more for the second.
    scales = 10 ** torch.linspace(-decades, decades, 140, dtype=torch.float64)
    data = in_units(table(n_train, 140, seed=0), scales)
    problem = LeastSquares(data=data, ridge=ridge)
    weights = weight_rows(3, n_train, seed=1)
    with counted(monkeypatch, "curve") as products:
        assert bool(problem.fit(weights, no_seeds(3)).converged.all())
    assert products[0] < most


def test_without_ridge_units_of_features_do_not_matter() -> None:
    data = table(30, 6, seed=0)
    weights = weight_rows(20, 30, seed=1) + 0.1
    scaled = LeastSquares(data=in_units(data, units(6)))
    found = scaled.respond(weights, no_seeds(20))
    expected = LeastSquares(data=data).respond(weights, no_seeds(20))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_the_minimum_norm_is_that_of_the_units_that_are_given() -> None:
    # Fewer examples than features in other units: the norm is not scale-free.
    data = in_units(table(12, 6, seed=0), units(6))
    weights = weight_rows(20, 12, seed=1)
    weights[:, 4:] = 0
    problem = LeastSquares(data=data)
    fit = problem.fit(weights, no_seeds(20))
    assert bool(fit.converged.all())
    x, y = data.x_train.numpy(), data.y_train.numpy()
    for w, theta in zip(weights.numpy(), fit.params.numpy(), strict=True):
        rows = w > 0
        if rows.any():
            # Independent rows: every minimiser fits them, this one is the shortest.
            exact = np.linalg.pinv(x[rows], rcond=1e-13) @ y[rows]
            np.testing.assert_allclose(theta, exact, rtol=1e-6, atol=1e-9)


def test_a_copied_feature_shares_its_coefficient() -> None:
    x = normal(40, 3, seed=0)
    data = table(30, 4, seed=1)
    both = torch.cat([x, 2 * x[:, :1]], 1)
    arrays = dict(zip((f"x_{s}" for s in SPLITS), both.split([30, 4, 6]), strict=True))
    arrays["x_held_out"] = arrays["x_held_out"][:5]
    weights = weight_rows(5, 30, seed=2)
    params = LeastSquares(data=replace(data, **arrays)).fit(weights, no_seeds(5)).params
    # theta_0 x + theta_3 2x: the shortest has theta_3 = 2 theta_0.
    torch.testing.assert_close(params[:, 3], 2 * params[:, 0], rtol=0, atol=1e-9)

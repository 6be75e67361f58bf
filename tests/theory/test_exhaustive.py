"""Exact identities of set functions, each by two roads that share no code."""

import math
from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import normal, table
from scipy.integrate import quad
from torch import Tensor

from dmtheory.problems import (
    LeastSquares,
    LogisticRegression,
    SampleMean,
    and_of_examples,
    or_of_duplicates,
)
from dmtheory.theory.closed_forms import matched_slope_tolerance, sample_mean_ratio
from dmtheory.theory.exhaustive import (
    fixed_size_datamodel,
    fourier_coefficients,
    multilinear_gradient,
    path_averaged_derivative,
    population_r2,
    population_regression,
    tabulate,
    variance_share_of_degree_one,
    weighted_banzhaf,
)
from dmtheory.theory.expansions import second_order_terms

games = {"n_train": st.integers(2, 7), "seed": st.integers(0, 10_000)}
shares = st.floats(0.05, 0.95)


def game(n_train: int, seed: int) -> Tensor:
    return normal(2**n_train, 2, seed=seed)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@given(p=shares, **games)
def test_five_definitions_of_the_coefficient_agree(
    n_train: int, seed: int, p: float
) -> None:
    # Theory 2.1. The covariance is taken here, by a plain loop over subsets.
    table = game(n_train, seed)
    intercept, beta = population_regression(table, p)
    mean = torch.zeros(2).double()
    covariance = torch.zeros(n_train, 2).double()
    for number, value in enumerate(table):
        subset = [(number >> i) & 1 for i in range(n_train)]
        chance = math.prod(p if inside else 1 - p for inside in subset)
        mean += chance * value
        for i, inside in enumerate(subset):
            covariance[i] += chance * (inside - p) * value
    close(beta, covariance / (p * (1 - p)))
    close(intercept, mean - p * beta.sum(0))
    close(weighted_banzhaf(table, p), beta)
    close(
        multilinear_gradient(table, torch.full((n_train,), p, dtype=torch.float64)),
        beta,
    )
    close(fourier_coefficients(table, p) / math.sqrt(p * (1 - p)), beta)


@given(p=shares, **games)
def test_r_squared_is_the_share_of_degree_one(
    n_train: int, seed: int, p: float
) -> None:
    # Theory 2.3.
    table = game(n_train, seed)
    close(population_r2(table, p), variance_share_of_degree_one(table, p))


@given(**games)
def test_an_additive_function_is_its_own_datamodel(n_train: int, seed: int) -> None:
    beta = normal(n_train, 2, seed=seed)
    masks = [[(s >> i) & 1 for i in range(n_train)] for s in range(2**n_train)]
    table = 3 + torch.tensor(masks).double() @ beta
    intercept, found = population_regression(table, 0.3)
    close(found, beta)
    close(intercept, torch.full((2,), 3.0).double())
    close(population_r2(table, 0.3), torch.ones(2).double())


@given(**games)
def test_the_coefficient_tends_to_leave_one_out(n_train: int, seed: int) -> None:
    # Theory 2.4, with error of order 1 - p.
    table = game(n_train, seed)
    whole = 2**n_train - 1
    left = torch.stack([table[whole] - table[whole - 2**i] for i in range(n_train)])
    errors = [
        (weighted_banzhaf(table, 1 - q) - left).norm().item() for q in (1e-5, 1e-6)
    ]
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.01)
    close(weighted_banzhaf(table, 1 - 1e-13), left, 1e-10)


def test_the_shapley_value_is_the_integral_of_the_coefficient() -> None:
    # Theory 2.4, against the definition over orders of arrival.
    n_train, values = 5, game(5, 3)[:, :1]
    shapley = np.zeros(n_train)
    for i in range(n_train):
        others = [j for j in range(n_train) if j != i]
        for size in range(n_train):
            weight = 1 / (n_train * math.comb(n_train - 1, size))
            for subset in combinations(others, size):
                number = sum(1 << j for j in subset)
                rise = values[number + (1 << i), 0] - values[number, 0]
                shapley[i] += weight * rise.item()
    integrals = [
        quad(lambda p, i=i: weighted_banzhaf(values, p)[i, 0].item(), 0, 1)[0]
        for i in range(n_train)
    ]
    np.testing.assert_allclose(integrals, shapley, atol=1e-10)


@given(shift=st.floats(-5, 5), p=shares, **games)
def test_vertices_do_not_determine_the_derivative_inside(
    shift: float, n_train: int, seed: int, p: float
) -> None:
    # Theory 2.5: F + c sum w_i(1-w_i) has the same vertices, and a derivative at 1
    # that is lower by c.
    table = game(n_train, seed)

    def bent(w: Tensor) -> Tensor:
        extension = torch.stack([
            torch
            .stack([w[i] if (s >> i) & 1 else 1 - w[i] for i in range(n_train)])
            .prod()
            .expand(2)
            * table[s]
            for s in range(2**n_train)
        ]).sum(0)
        return extension + shift * (w * (1 - w)).sum()

    corners = torch.tensor([
        [(s >> i) & 1 for i in range(n_train)] for s in range(2**n_train)
    ]).double()
    bent_table = torch.stack([bent(corner) for corner in corners])
    close(population_regression(bent_table, p)[1], population_regression(table, p)[1])
    at_one = torch.ones(n_train).double()
    moved = torch.func.jacrev(bent)(at_one).T - multilinear_gradient(table, at_one)
    close(moved, torch.full_like(moved, -shift))


@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_fixed_size_datamodel_is_a_centred_difference_of_means(size: int) -> None:
    # Theory 2.7: sum beta = 0, beta_i = (N-1)/N (E[F | i in] - E[F | i out]).
    n_train, values = 6, game(6, 8)
    found = fixed_size_datamodel(values, size)
    close(found.sum(0), torch.zeros(2).double())
    for i in range(n_train):
        inside, outside = [], []
        for subset in combinations(range(n_train), size):
            value = values[sum(1 << j for j in subset)]
            (inside if i in subset else outside).append(value)
        rise = torch.stack(inside).mean(0) - torch.stack(outside).mean(0)
        close(found[i], (n_train - 1) / n_train * rise)


@pytest.mark.parametrize("size", [0, 4, 5])
def test_a_size_without_two_sorts_of_subsets_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=rf"size must lie in \[1, 4\), got {size}"):
        fixed_size_datamodel(game(4, 0), size)


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_duplicates_have_the_closed_coefficients(k: int, p: float) -> None:
    # Theory 2.11, and nothing for the examples that are in no copy.
    for make, expected in (
        (or_of_duplicates, (1 - p) ** (k - 1)),
        (and_of_examples, p ** (k - 1)),
    ):
        beta = weighted_banzhaf(tabulate(make(5, k)), p).flatten()
        rest = torch.zeros(5 - k).double()
        close(
            beta,
            torch.cat([torch.full((k,), expected, dtype=torch.float64), rest]),
            1e-12,
        )
    whole = 31
    left = {
        make: (tabulate(make(5, k))[whole] - tabulate(make(5, k))[whole - 1]).item()
        for make in (or_of_duplicates, and_of_examples)
    }
    assert left == {or_of_duplicates: float(k == 1), and_of_examples: 1.0}


@pytest.mark.parametrize("n_train", [2, 5, 12])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_the_sample_mean_has_the_closed_ratio(n_train: int, p: float) -> None:
    # Theory 2.10; g_i(1) = (y_i - mean)/N.
    y = normal(n_train, seed=n_train)
    derivative = (y - y.mean()) / n_train
    beta = weighted_banzhaf(tabulate(SampleMean(values=y)), p).flatten()
    close(beta, sample_mean_ratio(n_train, p) * derivative)


def test_the_closed_ratio_at_twelve_values_is_that_of_the_theory() -> None:
    assert sample_mean_ratio(12, 0.5) == pytest.approx(2.18075, abs=5e-6)
    assert sample_mean_ratio(10**6, 0.5) == pytest.approx(2, abs=1e-5)


def test_the_sample_mean_of_a_fixed_size_has_ratio_one_over_the_share() -> None:
    # Theory 2.10: subsets of k = alpha N.
    y = normal(8, seed=1)
    derivative = ((y - y.mean()) / 8)[:, None]
    for size in (2, 4, 6):
        found = fixed_size_datamodel(tabulate(SampleMean(values=y)), size)
        close(found, 8 / size * derivative)


def least_squares(normalisation: Any) -> LeastSquares:
    return LeastSquares(
        data=table(6, 2, n_targets=2, seed=1), ridge=0.2, normalisation=normalisation
    )


def logistic(normalisation: Any) -> LogisticRegression:
    return LogisticRegression(
        data=table(6, 2, n_targets=2, classes=2, seed=1),
        ridge=0.2,
        normalisation=normalisation,
    )


@pytest.mark.parametrize("p", [0.3, 0.5])
@pytest.mark.parametrize("normalisation", ["sum", "count"])
def test_the_bridge_from_derivatives_to_coefficients_is_exact(
    normalisation: str, p: float
) -> None:
    # Theory 2.2.
    problem = least_squares(normalisation)
    _, beta = population_regression(tabulate(problem), p)
    close(path_averaged_derivative(problem, p), beta, 1e-8)


def test_the_bridge_holds_for_the_sample_mean() -> None:
    problem = SampleMean(values=normal(7, seed=2))
    _, beta = population_regression(tabulate(problem), 0.4)
    close(path_averaged_derivative(problem, 0.4), beta, 1e-8)


@pytest.mark.parametrize("n_features", [1, 2])
@pytest.mark.parametrize("normalisation", ["sum", "count"])
def test_the_bridge_holds_or_refuses_where_training_jumps(
    normalisation: Any, n_features: int
) -> None:
    # Without ridge the minimum-norm solution jumps wherever an example adds a new
    # direction: with one feature at the empty set alone, under count as under sum.
    problem = LeastSquares(
        data=table(5, n_features, n_targets=2, seed=1), normalisation=normalisation
    )
    _, beta = population_regression(tabulate(problem), 0.5)
    try:
        averaged = path_averaged_derivative(problem, 0.5)
    except ValueError:
        return
    close(averaged, beta, 1e-8)


def closed_form_outputs(problem: LeastSquares) -> Callable[[Tensor], Tensor]:
    """Return F(w) written out, for nested differentiation."""
    x, y = problem.data.x_train, problem.data.y_train
    eye = torch.eye(x.shape[1]).double()

    def outputs(w: Tensor) -> Tensor:
        divisor = w.sum() if problem.normalisation == "sum" else len(y)
        curvature = x.T @ (w[:, None] * x) / divisor + problem.ridge * eye
        moment = x.T @ (w * y) / divisor
        return problem.data.x_target @ torch.linalg.solve(curvature, moment)

    return outputs


@pytest.mark.parametrize("p", [0.3, 0.5])
@pytest.mark.parametrize("normalisation", ["sum", "count"])
def test_second_order_terms_are_those_of_the_expansion(
    normalisation: str, p: float
) -> None:
    # Theory 3.1, its partial derivatives by nested automatic differentiation.
    problem = least_squares(normalisation)
    # In reverse mode: nested forward mode through linalg.solve is wrong in torch 2.13.
    jacobian = torch.func.jacrev
    second = jacobian(jacobian(closed_form_outputs(problem)))
    at = torch.full((6,), p, dtype=torch.float64)
    f_2, f_3 = second(at), jacobian(second)(at)  # [target, i, j(, k)]
    expected = torch.zeros(6, 2).double()
    for i, t in product(range(6), range(2)):
        others = sum(f_3[t, i, j, j] for j in range(6) if j != i)
        expected[i, t] = (
            0.5 * (1 - 2 * p) * f_2[t, i, i]
            + 0.5 * p * (1 - p) * others
            + (1 - 3 * p * (1 - p)) / 6 * f_3[t, i, i, i]
        )
    found = second_order_terms(problem, p, step=1e-3)
    close(found, expected, 1e-4 * expected.abs().max().item())


def test_second_order_terms_shrink_the_gap_to_the_coefficient() -> None:
    # Theory 3.1 with N = 10 examples of one parameter.
    problem = LeastSquares(data=table(10, 1, seed=3), ridge=0.3)
    _, beta = population_regression(tabulate(problem), 0.5)
    at = torch.full((10,), 0.5, dtype=torch.float64)
    matched = torch.func.jacrev(closed_form_outputs(problem))(at).T
    corrected = matched + second_order_terms(problem, 0.5)
    assert (corrected - beta).norm() < 0.5 * (matched - beta).norm()


def test_what_cannot_be_enumerated_is_refused() -> None:
    from dmtheory.problems import MLP, Network

    network = Network(
        make_module=MLP((2, 2)), data=table(3, 2, classes=2, n_targets=2, seed=0)
    )
    with pytest.raises(ValueError, match="problem must be deterministic"):
        tabulate(network)
    with pytest.raises(ValueError, match="problem must be deterministic"):
        second_order_terms(network, 0.5)
    with pytest.raises(ValueError, match="n_train must be at most 14, got 15"):
        tabulate(SampleMean(values=normal(15, seed=0)))
    for p in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"p must lie in \(0, 1\)"):
            weighted_banzhaf(game(2, 0), p)


def test_the_tolerance_of_the_matched_slope_is_two_d_over_p_n() -> None:
    assert matched_slope_tolerance(5, 0.5, 400) == pytest.approx(0.05 + 0.01)
    assert matched_slope_tolerance(50, 0.5, 100) == 0.15

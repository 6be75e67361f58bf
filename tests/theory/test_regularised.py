"""Penalised population datamodels against minimisation over all subsets."""

from itertools import combinations

import pytest
import torch
from samples import normal
from scipy.optimize import minimize
from torch import Tensor

from dmtheory.designs import Bernoulli
from dmtheory.problems.set_functions import all_masks
from dmtheory.theory import exhaustive
from dmtheory.theory.regularised import (
    fixed_size_ridge_population,
    lasso_population,
    ridge_population,
    ridge_shrinkage,
)

N_TRAIN = 5
TABLE = normal(2**N_TRAIN, 1, seed=2)


def minimiser(masks: Tensor, law: Tensor, table: Tensor, penalty) -> Tensor:
    """Minimise E (F - b0 - x'beta)^2 + penalty(beta), beta = up - down, both >= 0."""
    x, y = masks - law @ masks, (table - law @ table)[:, 0]

    def value(theta) -> float:
        beta = torch.from_numpy(theta[:N_TRAIN] - theta[N_TRAIN:])
        return (law @ (y - x @ beta).square()).item() + penalty(theta)

    found = minimize(
        value,
        [0.1] * (2 * N_TRAIN),
        bounds=[(0, None)] * (2 * N_TRAIN),
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10000, "maxfun": 10**6},
    )
    return torch.from_numpy(found.x[:N_TRAIN] - found.x[N_TRAIN:])


@pytest.mark.parametrize("p", [0.3, 0.5])
def test_ridge_and_lasso_on_all_subsets(p: float) -> None:
    masks = all_masks(N_TRAIN)
    law = p ** masks.sum(1) * (1 - p) ** (N_TRAIN - masks.sum(1))
    beta = exhaustive.population_regression(TABLE, p)[1]

    def squares(theta) -> float:
        return 0.2 * ((theta[:N_TRAIN] - theta[N_TRAIN:]) ** 2).sum()

    ridge = minimiser(masks, law, TABLE, squares)
    expected = ridge_population(beta, p, 0.2)[:, 0]
    torch.testing.assert_close(ridge, expected, rtol=0, atol=1e-4)
    # Between the coefficients' sizes, so that some vanish.
    l1_penalty = beta.abs().median().item() * 2 * p * (1 - p)
    lasso = minimiser(masks, law, TABLE, lambda theta: l1_penalty * theta.sum())
    expected = lasso_population(beta, p, l1_penalty)[:, 0]
    assert 0 < (expected == 0).sum() < N_TRAIN
    torch.testing.assert_close(lasso, expected, rtol=0, atol=1e-4)


def test_ridge_on_subsets_of_one_size() -> None:
    rows = torch.zeros(10, N_TRAIN, dtype=torch.float64)
    for row, pair in zip(rows, combinations(range(N_TRAIN), 2), strict=True):
        row[list(pair)] = 1.0
    table = TABLE[(rows @ 2.0 ** torch.arange(N_TRAIN).double()).long()]
    x, y = rows - rows.mean(0), table - table.mean(0)
    gram = x.T @ x / 10 + 0.2 * torch.eye(N_TRAIN).double()
    expected = torch.linalg.solve(gram, x.T @ y / 10)
    beta = exhaustive.fixed_size_datamodel(TABLE, 2)
    found = fixed_size_ridge_population(beta, 2, 0.2)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n_train", "n_models"), [(40, 60), (40, 400), (60, 40)])
def test_ridge_on_few_masks_shrinks_by_more_than_on_many(
    n_train: int, n_models: int
) -> None:
    # Mean of tr[(S + lambda)^-1 S]/N over 40 samples; its own spread is below .002.
    p, penalty = 0.5, 0.25
    shares = []
    for seed in range(40):
        masks = Bernoulli(p=p, seed=seed).weights(torch.arange(n_models), n_train)
        values = torch.linalg.eigvalsh((masks - p).T @ (masks - p) / n_models)
        shares.append((values / (values + penalty)).mean())
    expected = torch.stack(shares).mean().item()
    found = ridge_shrinkage(p, penalty, n_train, n_models)
    assert found == pytest.approx(expected, abs=0.008)
    assert found < 0.5


def test_ridge_on_many_masks_shrinks_as_the_population() -> None:
    found = ridge_shrinkage(0.3, 0.1, 10, 10**8)
    assert found == pytest.approx(1 / (1 + 0.1 / 0.21), abs=1e-6)

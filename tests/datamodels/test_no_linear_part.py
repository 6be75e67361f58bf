"""Outputs that vary, but not linearly: of X'Y only rounding is left."""

import pytest
import torch
from samples import normal
from torch import Tensor

from dmtheory import OLS, Ridge
from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.datamodels.estimators.linear_fit import relative_residual
from dmtheory.datamodels.estimators.shrinkage import Shrinkage
from dmtheory.datamodels.rows.moments import columns_of
from dmtheory.datamodels.rows.sample import independent_rows
from dmtheory.testing.strategies import exact_masks

N, P = 4, 0.25
MASKS = exact_masks(N, P)
ESTIMATORS: dict[str, DatamodelEstimator] = {
    "OLS": OLS(),
    "robust OLS": OLS(errors="robust"),
    "one penalty": Ridge(l2_penalties=(0.1,)),
    "one penalty, no law": Ridge(l2_penalties=(0.1,), errors="none"),
    "ridge by leave-one-out": Ridge(),
    "a choice, no law": Ridge(errors="none"),
    "shrinkage": Shrinkage(prior=torch.ones(N, 3).double()),
}


def parities(masks: Tensor) -> Tensor:
    """Return products of pairs, triples and all: no linear part at p = 1/4."""
    basis = (masks - P) / (P * (1 - P)) ** 0.5
    parts = [basis[:, :2], basis[:, 1:4], basis]
    return torch.stack([part.prod(1) for part in parts], dim=1)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e4])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_outputs_without_a_linear_part_have_coefficients_of_zero(
    name: str, level: float
) -> None:
    outputs = level + parities(MASKS)
    fit = ESTIMATORS[name].fit(independent_rows(MASKS, outputs))
    assert fit.coefficients.abs().max() < 1e-13 * max(1.0, level)
    assert fit.certificate is not None
    fit.certificate.check()
    torch.testing.assert_close(fit.intercept, outputs.mean(0))


def test_a_residual_is_measured_by_the_data_where_there_is_no_linear_part() -> None:
    """Of what remains of X'Y, and at least a millionth of |x||e|."""
    columns = columns_of(independent_rows(MASKS, parities(MASKS)))
    x_size = (len(MASKS) * P * (1 - P)) ** 0.5
    rest = normal(N, 3, seed=0)
    size = torch.tensor([100.0, 1e-15, 0.0]).double()
    found = relative_residual(
        rest, size, columns, torch.tensor([9.0, 4.0, 0.0]).double(), torch.zeros(3)
    )
    least = torch.tensor([100.0, 1e-6 * x_size * 2, 1e-300]).double()
    torch.testing.assert_close(found, rest.abs().amax(0) / least)


def test_a_wrong_solution_of_nothing_has_no_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Off by a millionth of the outputs, which have no linear part."""
    from dmtheory.datamodels.estimators import ols

    def wrong(factor: Tensor, right: Tensor) -> Tensor:
        return torch.cholesky_solve(right, factor) + 1e-6

    monkeypatch.setattr(ols, "solve_by", wrong)
    fit = OLS().fit(independent_rows(MASKS, parities(MASKS)))
    assert fit.certificate is not None
    assert not fit.certificate.converged.any()

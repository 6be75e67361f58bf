"""Least squares and ridge against numpy and scikit-learn."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import dataset, no_seeds, normal, table, unchecked, weight_rows
from sklearn.linear_model import Ridge
from torch import Tensor

from dmtheory.data import Dataset
from dmtheory.problems import LeastSquares
from dmtheory.weighting import Normalisation

DATA = table(12, 4, seed=0)
both_normalisations = pytest.mark.parametrize("normalisation", ["sum", "count"])


def minimum_norm_predictions(data: Dataset, weights: Tensor) -> np.ndarray:
    x, y = data.x_train.numpy(), data.y_train.numpy()
    rows = []
    for w in weights.numpy():
        root = np.sqrt(w)
        theta = np.linalg.lstsq(root[:, None] * x, root * y, rcond=1e-10)[0]
        rows.append(data.x_target.numpy() @ theta)
    return np.array(rows)


@both_normalisations
def test_without_ridge_it_is_the_minimum_norm_solution(
    normalisation: Normalisation,
) -> None:
    weights = weight_rows(40, 12, seed=1)
    weights[:20, 3:] = 0  # at most three examples for four features: singular
    problem = LeastSquares(data=DATA, normalisation=normalisation)
    found = problem.respond(weights, no_seeds(40)).numpy()
    np.testing.assert_allclose(
        found, minimum_norm_predictions(DATA, weights), rtol=0, atol=1e-8
    )


@pytest.mark.parametrize("scale", [1e-2, 1e-4, 1e-6, 1e-9])
def test_features_in_small_units_are_fitted_or_refused(scale: float) -> None:
    # One feature in units 1/scale as large: NaN would be honest, zero is not.
    z = normal(30, seed=2)
    x = torch.stack([torch.ones(30).double(), scale * z], dim=1)
    data = dataset(x, 1 + 2 * z, n_train=20, n_targets=4)
    found = LeastSquares(data=data).respond(torch.ones(1, 20).double(), no_seeds(1))[0]
    right = torch.isclose(found, data.y_target, rtol=0, atol=1e-4)
    assert bool((right | found.isnan()).all()), (found, data.y_target)


@both_normalisations
def test_ridge_is_that_of_scikit_learn(normalisation: Normalisation) -> None:
    # sum_j w_j r_j^2 + alpha |theta|^2 is 2 W J for alpha = ridge W.
    weights, ridge = weight_rows(20, 12, seed=3), 0.3
    problem = LeastSquares(data=DATA, ridge=ridge, normalisation=normalisation)
    params = problem.fit(weights, no_seeds(20)).params
    for w, theta in zip(weights, params, strict=True):
        divisor = w.sum().item() if normalisation == "sum" else 12
        reference = Ridge(alpha=ridge * divisor, fit_intercept=False, solver="svd")
        reference.fit(DATA.x_train, DATA.y_train, sample_weight=w)
        np.testing.assert_allclose(theta, reference.coef_, rtol=0, atol=1e-12)


@both_normalisations
def test_the_minimiser_of_the_written_objective_is_found(
    normalisation: Normalisation,
) -> None:
    problem = LeastSquares(data=DATA, ridge=0.3, normalisation=normalisation)
    weights = weight_rows(5, 12, seed=4)
    fit = problem.fit(weights, no_seeds(5))
    for w, theta in zip(weights, fit.params, strict=True):
        here = theta.clone().requires_grad_()
        losses = 0.5 * (DATA.y_train - DATA.x_train @ here) ** 2
        divisor = w.sum() if normalisation == "sum" else 12
        (w @ losses / divisor + 0.15 * (here @ here)).backward()
        assert here.grad is not None
        assert here.grad.abs().max() < 1e-13
    assert bool(fit.converged.all())


@both_normalisations
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_no_examples_leave_the_regularisers_minimiser(
    normalisation: Normalisation, ridge: float
) -> None:
    problem = LeastSquares(data=DATA, ridge=ridge, normalisation=normalisation)
    outputs = problem.respond(torch.zeros(1, 12).double(), no_seeds(1))
    assert torch.equal(outputs, torch.zeros(1, 4).double())


def test_losses_outputs_and_penalty_are_those_of_the_objective() -> None:
    problem = LeastSquares(data=DATA, ridge=0.3)
    theta = normal(4, seed=5)
    predicted = DATA.x_train.numpy() @ theta.numpy()
    losses = problem.prediction_losses(problem.predictions(theta))
    np.testing.assert_allclose(losses, (DATA.y_train.numpy() - predicted) ** 2 / 2)
    np.testing.assert_allclose(
        problem.target_outputs(theta), DATA.x_target.numpy() @ theta.numpy()
    )
    assert problem.penalty(theta).item() == pytest.approx(0.15 * (theta @ theta).item())


def test_the_digest_tells_procedures_and_data_apart() -> None:
    problem = LeastSquares(data=DATA, ridge=0.3)
    others = [
        replace(problem, ridge=0.4),
        replace(problem, normalisation="count"),
        replace(problem, data=replace(DATA, y_train=DATA.y_train + 1)),
        replace(problem, data=replace(DATA, x_target=DATA.x_target + 1)),
        replace(problem, data=replace(DATA, train_labels=DATA.train_labels[::-1])),
    ]
    digests = {p.description.digest for p in [problem, *others]}
    assert len(digests) == 6
    assert replace(problem).description.digest == problem.description.digest


@pytest.mark.parametrize("ridge", [-1.0, math.nan, math.inf])
def test_a_ridge_that_is_no_penalty_is_refused(ridge: float) -> None:
    with pytest.raises(ValueError, match="ridge must be >= 0 and finite, got"):
        LeastSquares(data=DATA, ridge=ridge)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(1, 11), r"weights must have shape \(models, 12\), got \(1, 11\)"),
        (torch.ones(12), r"weights must have shape \(models, 12\), got \(12,\)"),
        (torch.full((2, 12), math.nan), r"weights must be finite, got nan at index"),
        (-torch.ones(1, 12), "weights must be >= 0, got -1"),
    ],
)
def test_weights_that_are_no_weights_are_refused(weights: Tensor, message: str) -> None:
    problem = LeastSquares(data=DATA)
    with unchecked(), pytest.raises(ValueError, match=message):
        problem.respond(weights.double(), no_seeds(len(weights)))

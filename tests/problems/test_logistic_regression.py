"""Logistic regression against scikit-learn and its own optimality condition."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import dataset, no_seeds, normal, table, weight_rows
from sklearn.linear_model import LogisticRegression as Reference
from torch import Tensor

from dmtheory.problems import LogisticRegression
from dmtheory.weighting import Normalisation

DATA = table(30, 4, classes=2, seed=0)
both_normalisations = pytest.mark.parametrize("normalisation", ["sum", "count"])


def gradient(problem: LogisticRegression, theta: Tensor, w: Tensor) -> np.ndarray:
    """Return the gradient of J, in numpy, from the docstring's formula."""
    x, y = problem.data.x_train.numpy(), problem.data.y_train.numpy()
    signs = 2.0 * y - 1
    margins = signs * (x @ theta.numpy())
    slopes = -signs / (1 + np.exp(margins))
    divisor = w.sum().item() if problem.normalisation == "sum" else len(y)
    return (w.numpy() * slopes) @ x / divisor + problem.ridge * theta.numpy()


@both_normalisations
def test_it_is_that_of_scikit_learn_on_weighted_examples(
    normalisation: Normalisation,
) -> None:
    # C sum_j w_j l_j + |theta|^2 / 2 is J / ridge for C = 1/(ridge W).
    weights, ridge = weight_rows(15, 30, seed=1), 0.02
    problem = LogisticRegression(data=DATA, ridge=ridge, normalisation=normalisation)
    outputs = problem.respond(weights, no_seeds(15))
    signs = 2.0 * DATA.y_target.numpy() - 1
    for w, found in zip(weights, outputs, strict=True):
        divisor = w.sum().item() if normalisation == "sum" else 30
        reference = Reference(
            C=1 / (ridge * divisor),
            solver="newton-cholesky",
            fit_intercept=False,
            tol=1e-10,
            max_iter=1000,
        )
        reference.fit(DATA.x_train, DATA.y_train, sample_weight=w)
        margins = signs * reference.decision_function(DATA.x_target)
        np.testing.assert_allclose(found, margins, rtol=0, atol=1e-7)


@both_normalisations
@pytest.mark.parametrize("ridge", [1e-6, 1e-2, 10.0])
@pytest.mark.parametrize("scale", [0.1, 1.0, 300.0])
def test_the_gradient_vanishes_on_any_weights(
    normalisation: Normalisation, ridge: float, scale: float
) -> None:
    data = replace(DATA, x_train=scale * DATA.x_train)
    problem = LogisticRegression(data=data, ridge=ridge, normalisation=normalisation)
    weights = weight_rows(12, 30, seed=2)
    weights[:4, 5:] = 0  # five examples in four dimensions: separable
    weights[4, DATA.y_train == 0] = 0  # one class only
    weights[5] = 0
    weights[5, 7] = 1.0  # one example only
    fit = problem.fit(weights, no_seeds(12))
    assert bool(fit.converged.all())
    for w, theta in zip(weights, fit.params, strict=True):
        assert np.abs(gradient(problem, theta, w)).max() < 1.1e-10


@both_normalisations
def test_no_examples_leave_the_regularisers_minimiser(
    normalisation: Normalisation,
) -> None:
    problem = LogisticRegression(data=DATA, ridge=0.1, normalisation=normalisation)
    outputs = problem.respond(torch.zeros(1, 30).double(), no_seeds(1))
    assert torch.equal(outputs, torch.zeros(1, 4).double())


def test_losses_outputs_and_penalty_are_those_of_the_objective() -> None:
    problem = LogisticRegression(data=DATA, ridge=0.3)
    theta = normal(4, seed=5)
    right = 1 / (1 + np.exp(-(DATA.x_train.numpy() @ theta.numpy())))
    probability = np.where(DATA.y_train.numpy() == 1, right, 1 - right)
    losses = problem.prediction_losses(problem.predictions(theta))
    np.testing.assert_allclose(losses, -np.log(probability), rtol=1e-12)
    right = 1 / (1 + np.exp(-(DATA.x_target.numpy() @ theta.numpy())))
    own = np.where(DATA.y_target.numpy() == 1, right, 1 - right)
    np.testing.assert_allclose(
        problem.target_outputs(theta), np.log(own / (1 - own)), rtol=1e-12
    )
    assert problem.penalty(theta).item() == pytest.approx(0.15 * (theta @ theta).item())


def test_a_model_that_does_not_converge_is_marked_and_answers_nan() -> None:
    problem = LogisticRegression(data=DATA, ridge=0.01, tolerance=1e-300)
    weights = torch.stack([torch.ones(30), torch.zeros(30)]).double()
    assert problem.fit(weights, no_seeds(2)).converged.tolist() == [False, True]
    outputs = problem.respond(weights, no_seeds(2))
    assert outputs.isnan().tolist() == [[True] * 4, [False] * 4]


def test_held_out_accuracy_is_the_share_that_is_classified_rightly() -> None:
    problem = LogisticRegression(data=DATA, ridge=0.1)
    params = normal(6, 4, seed=3)
    for theta, share in zip(params, problem.quality(params).accuracy, strict=True):
        guesses = [int(x @ theta > 0) for x in DATA.x_held_out]
        right = [g == y for g, y in zip(guesses, DATA.y_held_out.tolist(), strict=True)]
        assert share.item() == sum(right) / 5


def test_classes_other_than_two_are_refused() -> None:
    three = dataset(normal(9, 2, seed=0), torch.arange(9) % 3, n_train=4, n_targets=3)
    with pytest.raises(ValueError, match=r"data must have classes 0 and 1, got \[0"):
        LogisticRegression(data=three, ridge=0.1)


@pytest.mark.parametrize("ridge", [0.0, -1.0, math.inf, math.nan])
def test_a_ridge_that_leaves_no_minimiser_is_refused(ridge: float) -> None:
    with pytest.raises(ValueError, match="ridge must be finite and > 0, got"):
        LogisticRegression(data=DATA, ridge=ridge)

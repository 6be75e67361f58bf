"""Representer parts against the dual form, and their sum against the output."""

from typing import Any

import pytest
import torch
from samples import no_seeds, normal, table, weight_rows

from dmtheory.influence.baselines.representer import representer
from dmtheory.problems import (
    MLP,
    SGD,
    LeastSquares,
    LogisticRegression,
    Network,
    SoftmaxRegression,
)

NUMBERS = table(16, 3, seed=0)
CLASSES = table(16, 3, classes=2, seed=4)
THREE = table(18, 2, classes=3, seed=7)
each_normalisation = pytest.mark.parametrize("normalisation", ["sum", "count"])


@each_normalisation
def test_the_parts_of_a_logistic_model_sum_to_its_margin(normalisation: Any) -> None:
    problem = LogisticRegression(data=CLASSES, ridge=0.05, normalisation=normalisation)
    weights = weight_rows(1, 16, seed=2)
    found = representer(problem, at=weights[0])
    margins = problem.respond(weights, no_seeds(1))[0]
    torch.testing.assert_close(found.scores.sum(0), margins, rtol=0, atol=1e-8)
    # alpha_i x_i' x of the dual, with the residual of class 1, on signed targets.
    theta = problem.fit(weights, no_seeds(1)).params[0]
    divisor = weights.sum() if normalisation == "sum" else 16
    residual = CLASSES.y_train - torch.sigmoid(CLASSES.x_train @ theta)
    alpha = weights[0] * residual / (0.05 * divisor)
    signed = CLASSES.x_target * (2 * CLASSES.y_target - 1)[:, None]
    expected = alpha[:, None] * (CLASSES.x_train @ signed.T)
    torch.testing.assert_close(found.scores, expected, rtol=1e-9, atol=1e-10)
    assert found.estimand.quantity == "representer"
    assert found.exact


@each_normalisation
def test_the_parts_of_a_softmax_model_sum_to_its_logit(normalisation: Any) -> None:
    problem = SoftmaxRegression(
        data=THREE, ridge=0.05, normalisation=normalisation, output="logit"
    )
    found = representer(problem, at=0.5)
    logits = problem.respond(torch.full((1, 18), 0.5).double(), no_seeds(1))[0]
    torch.testing.assert_close(found.scores.sum(0), logits, rtol=0, atol=1e-8)


def test_the_parts_of_a_ridge_regression_are_those_of_its_kernel() -> None:
    # theta'x = k(x)'(K + N ridge I)^-1 y: part i is k_i(x) times the i-th entry.
    problem = LeastSquares(data=NUMBERS, ridge=0.2)
    found = representer(problem).scores
    kernel = NUMBERS.x_train @ NUMBERS.x_train.T
    shift = 16 * 0.2 * torch.eye(16).double()
    alpha = torch.linalg.solve(kernel + shift, NUMBERS.y_train)
    expected = alpha[:, None] * (NUMBERS.x_train @ NUMBERS.x_target.T)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def test_without_a_ridge_or_a_stationary_point_there_is_no_representer() -> None:
    with pytest.raises(ValueError, match="problem must have the penalty ridge/2"):
        representer(LeastSquares(data=NUMBERS))
    problem = LeastSquares(data=NUMBERS, ridge=0.2)
    with pytest.raises(ValueError, match="must be a stationary point"):
        representer(problem, parameters=normal(3, seed=1))
    network = Network(
        make_module=MLP((2, 3, 3)), data=THREE, training=SGD(epochs=3, batch_size=4)
    )
    with pytest.raises(ValueError, match="must be a stationary point"):
        representer(network)

"""Gradient products against autograd an example at a time, and their limits."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from samples import no_seeds, normal, table, weight_rows
from torch import Tensor

from dmtheory import influence
from dmtheory.designs import Bernoulli
from dmtheory.influence.baselines.gradient_product import (
    gradient_cosine,
    gradient_product,
)
from dmtheory.problems import (
    MLP,
    SGD,
    LeastSquares,
    LogisticRegression,
    Network,
)

CLASSES = table(16, 3, classes=2, seed=4)
each_normalisation = pytest.mark.parametrize("normalisation", ["sum", "count"])


def network(normalisation: Any) -> Network:
    return Network(
        make_module=MLP((2, 3, 3)),
        data=table(7, 2, classes=3, seed=2),
        training=SGD(epochs=3, batch_size=4, weight_decay=0.02),
        normalisation=normalisation,
    )


def written(problem: Network, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Return grad l_i and grad f of a network, one backward pass each."""
    module = problem.make_module()
    torch.nn.utils.vector_to_parameters(theta, module.parameters())
    parameters = list(module.parameters())

    def flat(value: Tensor) -> Tensor:
        pieces = torch.autograd.grad(value, parameters)
        return torch.cat([piece.flatten() for piece in pieces])

    data = problem.data
    losses = [
        flat(torch.nn.functional.cross_entropy(module(x), y))
        for x, y in zip(data.x_train, data.y_train, strict=True)
    ]
    outputs = []
    for x, y in zip(data.x_target, data.y_target, strict=True):
        p = torch.softmax(module(x), 0)[y]
        outputs.append(flat(torch.log(p / (1 - p))))
    return torch.stack(losses), torch.stack(outputs)


@each_normalisation
def test_products_and_cosines_are_those_written_out(normalisation: str) -> None:
    problem = network(normalisation)
    theta = normal(problem.initial(no_seeds(1)).shape[1], seed=3)
    weights = weight_rows(1, 7, seed=4)[0]
    gradients, toward = written(problem, theta)
    found = gradient_product(problem, at=weights, parameters=theta)
    if normalisation == "count":
        expected = -gradients @ toward.T / 7
    else:
        total = weights.sum()
        centred = gradients - weights @ gradients / total
        expected = -centred @ toward.T / total
    torch.testing.assert_close(found.scores, expected, rtol=1e-9, atol=1e-12)
    assert found.estimand.quantity == "gradient product"
    assert found.n_models == 0
    cosine = gradient_cosine(problem, at=weights, parameters=theta).scores
    expected = -torch.nn.functional.cosine_similarity(
        gradients[:, None], toward[None], dim=2
    )
    torch.testing.assert_close(cosine, expected, rtol=1e-9, atol=1e-12)


@each_normalisation
def test_it_is_the_derivative_of_the_output_after_one_more_step(
    normalisation: Any,
) -> None:
    # f(theta - rate grad J(theta; w)) differentiated in w_i by central differences.
    problem = LogisticRegression(data=CLASSES, ridge=0.05, normalisation=normalisation)
    theta, weights = normal(3, seed=1), 0.2 + weight_rows(1, 16, seed=2)[0]
    rate, step = 1e-6, 1e-3

    def output(w: Tensor) -> Tensor:
        divisor = w.sum() if normalisation == "sum" else 16

        def objective(p: Tensor) -> Tensor:
            losses = problem.prediction_losses(problem.predictions(p))
            return losses @ w / divisor + problem.penalty(p)

        return problem.target_outputs(theta - rate * torch.func.grad(objective)(theta))

    moves = step * torch.eye(16).double()
    rows = [output(weights + m) - output(weights - m) for m in moves]
    truth = torch.stack(rows) / (2 * step * rate)
    found = gradient_product(problem, at=weights, parameters=theta).scores
    assert (found - truth).norm() < 1e-5 * truth.norm()


def test_with_whitened_features_it_is_influence() -> None:
    # X'X/N = I without ridge: H is the identity.
    data = table(16, 3, seed=0)
    basis, _ = torch.linalg.qr(data.x_train)
    problem = LeastSquares(data=replace(data, x_train=basis * 4))
    found, expected = gradient_product(problem), influence(problem)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-9, atol=1e-12)


def test_they_average_over_subsets() -> None:
    problem = network("sum")
    law = Bernoulli(p=0.5, n_models=4, seed=8)
    found = gradient_product(problem, at=law, seed=8)
    rows = torch.arange(4)
    masks = law.weights(rows, 7)
    fit = problem.fit(masks, law.seeds(rows))
    each = [
        gradient_product(problem, at=mask, parameters=params).scores
        for mask, params in zip(masks, fit.params, strict=True)
    ]
    torch.testing.assert_close(found.scores, torch.stack(each).mean(0))
    assert found.seeds == {8}
    assert found.n_models == 4


def test_an_example_without_gradient_has_cosine_zero() -> None:
    data = table(16, 3, seed=0)
    responses = data.y_train.clone()
    responses[2] = 0
    problem = LeastSquares(data=replace(data, y_train=responses))
    found = gradient_cosine(problem, parameters=torch.zeros(3).double()).scores
    assert not found[2].any()
    assert found[3].any()

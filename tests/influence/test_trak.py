"""TRAK against the closed form, its own formula written out, and invariances."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from samples import no_seeds, normal, table, weight_rows

from dmtheory import influence
from dmtheory.designs import Bernoulli
from dmtheory.influence.baselines.trak import output_features, random_signs, trak
from dmtheory.problems import (
    MLP,
    SGD,
    LeastSquares,
    LogisticRegression,
    Network,
    SoftmaxRegression,
)
from dmtheory.training.losses import CrossEntropy

NUMBERS = table(16, 3, seed=0)
CLASSES = table(16, 3, classes=2, seed=4)
THREE = table(18, 2, classes=3, seed=7)


def network(**more: Any) -> Network:
    return Network(
        make_module=MLP((2, 2, 3)),
        data=table(24, 2, classes=3, seed=2),
        training=SGD(epochs=3, batch_size=8, weight_decay=0.02),
        **more,
    )


@pytest.mark.parametrize("normalisation", ["sum", "count"])
@pytest.mark.parametrize("dimension", [None, 3, 50])
def test_of_least_squares_without_projection_it_is_the_derivative(
    normalisation: Any, dimension: int | None
) -> None:
    problem = LeastSquares(data=NUMBERS, normalisation=normalisation)
    weights = 0.2 + weight_rows(1, 16, seed=1)[0]
    found = trak(problem, at=weights, dimension=dimension)
    expected = influence(problem, at=1.0).scores
    x, y = NUMBERS.x_train, NUMBERS.y_train
    gram = x.T @ (weights[:, None] * x)
    theta = torch.linalg.solve(gram, x.T @ (weights * y))
    residual = y - x @ theta
    closed = x @ torch.linalg.solve(gram, NUMBERS.x_target.T) * residual[:, None]
    torch.testing.assert_close(found.scores, closed, rtol=1e-9, atol=1e-12)
    at_one = trak(problem, dimension=dimension).scores
    torch.testing.assert_close(at_one, expected, rtol=1e-9, atol=1e-12)
    assert found.estimand.quantity == "TRAK"
    assert found.exact


def test_of_a_logistic_model_it_is_the_formula_of_the_paper() -> None:
    # x_t' (X'X)^-1 x_i (1 - p_i), each x with the sign of its own class.
    problem = LogisticRegression(data=CLASSES, ridge=0.05)
    theta = problem.fit(torch.ones(1, 16).double(), no_seeds(1)).params[0]
    signed = CLASSES.x_train * (2 * CLASSES.y_train - 1)[:, None]
    targets = CLASSES.x_target * (2 * CLASSES.y_target - 1)[:, None]
    chance = torch.sigmoid(signed @ theta)
    expected = signed @ torch.linalg.solve(signed.T @ signed, targets.T)
    expected = expected * (1 - chance)[:, None]
    found = trak(problem).scores
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_several_logits_give_the_margins_own_gradients() -> None:
    problem = network()
    theta = normal(problem.initial(no_seeds(1)).shape[1], seed=1)
    on_itself = network(output="margin")
    data = on_itself.data
    on_itself = replace(
        on_itself,
        data=replace(
            data,
            x_target=data.x_train,
            y_target=data.y_train,
            target_labels=data.train_labels,
        ),
    )
    features, others = output_features(problem, theta)
    margins = on_itself.target_outputs(theta)
    expected = torch.func.jacrev(on_itself.target_outputs)(theta)
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(others, 1 - torch.sigmoid(margins))


def test_two_classes_as_two_logits_or_one_score_the_same() -> None:
    # The softmax model's difference of columns is the logistic model's parameter.
    single = LogisticRegression(data=CLASSES, ridge=0.05, normalisation="count")
    double = SoftmaxRegression(data=CLASSES, ridge=0.1, normalisation="count")
    one = trak(single, damping=0.1).scores
    two = trak(double, damping=0.2).scores
    torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-9)


def test_over_models_kernels_and_residuals_are_averaged_apart() -> None:
    problem, law = network(), Bernoulli(p=0.5, n_models=3, seed=9)
    counts: list[int] = []
    found = trak(
        problem, at=law, seed=4, dimension=5, projection_seed=8, progress=counts.append
    )
    rows = torch.arange(3)
    masks = replace(law, seed=4).weights(rows, 24)
    fit = problem.fit(masks, replace(law, seed=4).seeds(rows))
    kernels, residuals = [], []
    for k, (mask, params) in enumerate(zip(masks, fit.params, strict=True)):
        signs = random_signs(8, k, n_rows=len(params), n_columns=5)
        features, residual = output_features(problem, params)
        features = features @ signs
        toward = torch.func.jacrev(problem.target_outputs)(params) @ signs
        inside = features[mask > 0]
        kernels.append(features @ torch.linalg.inv(inside.T @ inside) @ toward.T)
        residuals.append(residual[:, None])
    expected = torch.stack(kernels).mean(0) * torch.stack(residuals).mean(0)
    torch.testing.assert_close(found.scores, expected, rtol=1e-8, atol=1e-12)
    apart = (torch.stack(kernels) * torch.stack(residuals)).mean(0)
    assert (apart - expected).norm() > 1e-3 * expected.norm()
    assert counts == [1, 1, 1]
    assert found.seeds == {4}
    assert found.n_models == 3
    # First order in each average: leaving a model out moves the scores so.
    left = torch.stack(kernels[1:]).mean(0) * torch.stack(residuals[1:]).mean(0)
    assert found.units is not None
    moved = expected - (found.units[0] - expected) / 2
    assert (moved - left).norm() < 0.5 * (left - expected).norm()


def test_a_square_projection_changes_nothing() -> None:
    problem = network()
    theta = normal(problem.initial(no_seeds(1)).shape[1], seed=3)
    n_params = len(theta)
    features, residual = output_features(problem, theta)
    toward = torch.func.jacrev(problem.target_outputs)(theta)
    signs = random_signs(1, 0, n_rows=n_params, n_columns=n_params)
    assert torch.linalg.cond(signs) < 1e4
    features, toward = features @ signs, toward @ signs
    gram = features.T @ features + 24 * 0.1 * signs.T @ signs
    expected = features @ torch.linalg.solve(gram, toward.T) * residual[:, None]
    found = trak(problem, parameters=theta, damping=0.1).scores
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_projections_keep_inner_products_on_average() -> None:
    # |P'a|^2/k over 4,000 signs: its standard error is at most sqrt(2/4000) = .022.
    a = normal(20, seed=1)
    signs = random_signs(2, 5, n_rows=20, n_columns=4000)
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    size = (a @ signs).square().mean() / a.square().sum()
    assert abs(size.item() - 1) < 0.11
    other = random_signs(2, 6, n_rows=20, n_columns=4000)
    assert abs((signs * other).mean().item()) < 5 / math.sqrt(20 * 4000)
    few = random_signs(2, 5, n_rows=7, n_columns=30)
    assert torch.equal(few, signs[:7, :30])


def test_what_trak_cannot_score_is_refused() -> None:
    problem = network()
    with pytest.raises(ValueError, match="dimension must be at least 1, got 0"):
        trak(problem, dimension=0)
    with pytest.raises(ValueError, match="damping must make the kernel of 12 dim"):
        trak(replace(problem, data=table(9, 2, classes=3, seed=2)), dimension=12)
    smooth = network(loss=CrossEntropy(label_smoothing=0.1))
    with pytest.raises(ValueError, match="no function of a margin"):
        trak(smooth)
    with pytest.raises(ValueError, match="damping must be finite and >= 0"):
        trak(problem, damping=-1.0)

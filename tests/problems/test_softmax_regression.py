"""Multinomial regression against scikit-learn's newton-cg and its own optimality."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import dataset, no_seeds, normal, table, weight_rows
from sklearn.linear_model import LogisticRegression as Reference
from torch import Tensor

from dmtheory.problems import LogisticRegression, SoftmaxRegression
from dmtheory.problems.convex import solve
from dmtheory.problems.outputs import margin
from dmtheory.weighting import Normalisation

DATA = table(40, 5, classes=3, seed=0)
both_normalisations = pytest.mark.parametrize("normalisation", ["sum", "count"])
both_systems = pytest.mark.parametrize("most_factored", [1000, 1])


def gradient(problem: SoftmaxRegression, theta: Tensor, w: Tensor) -> np.ndarray:
    """Return the gradient of J, in numpy, from the docstring's formula."""
    x, y = problem.data.x_train.numpy(), problem.data.y_train.numpy()
    matrix = theta.numpy().reshape(x.shape[1], -1)
    z = x @ matrix
    shares = np.exp(z - z.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    shares[np.arange(len(y)), y] -= 1
    divisor = w.sum().item() if problem.normalisation == "sum" else len(y)
    return x.T @ (w.numpy()[:, None] * shares) / divisor + problem.ridge * matrix


@both_systems
@both_normalisations
def test_it_is_that_of_scikit_learn_on_weighted_examples(
    monkeypatch: pytest.MonkeyPatch, most_factored: int, normalisation: Normalisation
) -> None:
    monkeypatch.setattr(solve, "MOST_FACTORED", most_factored)
    weights, ridge = weight_rows(5, 40, seed=1), 0.02
    problem = SoftmaxRegression(data=DATA, ridge=ridge, normalisation=normalisation)
    outputs = problem.respond(weights, no_seeds(5))
    for w, found in zip(weights, outputs, strict=True):
        divisor = w.sum().item() if normalisation == "sum" else 40
        reference = Reference(
            C=1 / (ridge * divisor),
            solver="newton-cg",
            fit_intercept=False,
            tol=1e-10,
            max_iter=2000,
        )
        reference.fit(DATA.x_train, DATA.y_train, sample_weight=w)
        logits = torch.from_numpy(reference.decision_function(DATA.x_target))
        expected = margin(logits, DATA.y_target)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@both_systems
@both_normalisations
@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_the_gradient_vanishes_on_any_weights(
    monkeypatch: pytest.MonkeyPatch,
    most_factored: int,
    normalisation: Normalisation,
    scale: float,
) -> None:
    monkeypatch.setattr(solve, "MOST_FACTORED", most_factored)
    data = replace(DATA, x_train=scale * DATA.x_train)
    problem = SoftmaxRegression(data=data, ridge=1e-3, normalisation=normalisation)
    weights = weight_rows(70, 40, seed=2)  # more than one group of lanes
    weights[:4, 5:] = 0  # separable
    weights[4, DATA.y_train == 0] = 0  # a class is absent
    weights[5] = 0
    weights[5, 7] = 1e-9  # hardly any weight
    weights[6] = 0
    weights[7] *= 100
    fit = problem.fit(weights, no_seeds(70))
    assert bool(fit.converged.all())
    for w, theta in zip(weights, fit.params, strict=True):
        if w.sum() > 0:
            assert np.abs(gradient(problem, theta, w)).max() < 1.1e-10
    assert fit.params[6].abs().max() < 1e-12


@both_systems
def test_a_models_bits_depend_on_no_other_model(
    monkeypatch: pytest.MonkeyPatch, most_factored: int
) -> None:
    monkeypatch.setattr(solve, "MOST_FACTORED", most_factored)
    problem = SoftmaxRegression(data=DATA, ridge=1e-2, normalisation="count")
    weights = weight_rows(130, 40, seed=3)
    weights[100:] *= 0.01  # another preconditioner's octave
    whole = problem.respond(weights, no_seeds(130))
    for size in (1, 7, 100):
        parts = [problem.respond(w, no_seeds(len(w))) for w in weights.split(size)]
        assert torch.equal(torch.cat(parts), whole)


@both_systems
def test_the_factor_is_that_of_the_hessian_at_the_optimum(
    monkeypatch: pytest.MonkeyPatch, most_factored: int
) -> None:
    monkeypatch.setattr(solve, "MOST_FACTORED", most_factored)
    problem = SoftmaxRegression(data=DATA, ridge=1e-2)
    weights = weight_rows(3, 40, seed=4)
    fit = problem.fit(weights, no_seeds(3), keep_factor=True)
    assert fit.factor is not None
    assert problem.fit(weights, no_seeds(3)).factor is None
    for w, theta, factor in zip(weights, fit.params, fit.factor, strict=True):

        def objective(params: Tensor, w: Tensor = w) -> Tensor:
            losses = problem.prediction_losses(problem.predictions(params))
            return w @ losses / w.sum() + problem.penalty(params)

        hessian = torch.func.hessian(objective)(theta)
        torch.testing.assert_close(factor @ factor.T, hessian, rtol=0, atol=1e-9)


@both_systems
def test_a_warm_start_ends_where_a_cold_one_does(
    monkeypatch: pytest.MonkeyPatch, most_factored: int
) -> None:
    monkeypatch.setattr(solve, "MOST_FACTORED", most_factored)
    problem = SoftmaxRegression(data=DATA, ridge=1e-2)
    weights = weight_rows(3, 40, seed=5)
    cold = problem.fit(weights, no_seeds(3)).params
    for start in (cold, cold[:1], 3 * normal(1, 15, seed=6)):
        warm = problem.fit(weights, no_seeds(3), start=start).params
        torch.testing.assert_close(warm, cold, rtol=0, atol=1e-9)
    # Where the start is the answer, the first gradient is within the tolerance.
    assert problem.fit(weights, no_seeds(3), start=cold).gradient_norm.max() < 1e-14


def test_two_classes_are_the_binary_regression_with_half_the_penalty() -> None:
    # Theta = (-v, v)/2 minimises |Theta|^2 at a given difference v: it is |v|^2 / 2.
    data = table(30, 4, classes=2, seed=7)
    weights = weight_rows(6, 30, seed=8)
    many = SoftmaxRegression(data=data, ridge=0.2).respond(weights, no_seeds(6))
    two = LogisticRegression(data=data, ridge=0.1).respond(weights, no_seeds(6))
    torch.testing.assert_close(many, two, rtol=0, atol=1e-9)


def test_many_features_are_solved_without_hessians_as_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = table(40, 150, classes=2, seed=9)
    weights = weight_rows(3, 40, seed=10)
    problem = LogisticRegression(data=data, ridge=0.05)
    found = problem.respond(weights, no_seeds(3))
    monkeypatch.setattr(solve, "MOST_FACTORED", 1000)
    by_factors = LogisticRegression(data=data, ridge=0.05)
    expected = by_factors.respond(weights, no_seeds(3))
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_held_out_quality_is_accuracy_and_cross_entropy() -> None:
    problem = SoftmaxRegression(data=DATA, ridge=0.1)
    params = normal(6, 15, seed=3)
    quality = problem.quality(params)
    assert quality.accuracy is not None
    for theta, share, loss in zip(params, quality.accuracy, quality.loss, strict=True):
        shares = torch.softmax(DATA.x_held_out @ theta.reshape(5, 3), 1)
        right = (shares.argmax(1) == DATA.y_held_out).double().mean()
        own = shares[torch.arange(5), DATA.y_held_out]
        assert share == right
        torch.testing.assert_close(loss, -own.log().mean())


def test_classes_that_are_no_whole_numbers_are_refused() -> None:
    x = normal(9, 2, seed=0)
    for y in (normal(9, seed=1), torch.arange(9) - 3):
        data = dataset(x, y, n_train=4, n_targets=3)
        with pytest.raises(ValueError, match="data must have whole classes 0, 1"):
            SoftmaxRegression(data=data, ridge=0.1)

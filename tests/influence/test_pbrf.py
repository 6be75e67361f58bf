"""The proximal Bregman response against its objective, influence and refits."""

import math
from typing import Any

import pytest
import torch
from samples import no_seeds, normal, table, weight_rows
from torch import Tensor

from dmtheory import GaussNewton, leave_one_out
from dmtheory.influence.at_models.linearised import Linearised, linearised
from dmtheory.influence.classical import weight_derivatives
from dmtheory.influence.gap.pbrf import ProximalBregman, proximal_response
from dmtheory.influence.removing.removals import leave_out
from dmtheory.influence.removing.rules import NewtonStep
from dmtheory.problems import (
    MLP,
    SGD,
    LeastSquares,
    LogisticRegression,
    Network,
    SoftmaxRegression,
)

N_TRAIN = 7
each_normalisation = pytest.mark.parametrize("normalisation", ["sum", "count"])


def network(normalisation: Any = "sum") -> Network:
    return Network(
        make_module=MLP((2, 3, 3)),
        data=table(N_TRAIN, 2, classes=3, seed=2),
        training=SGD(epochs=3, batch_size=4, weight_decay=0.02),
        normalisation=normalisation,
    )


def model_of(problem: Any, weights: Tensor, damping: float) -> Linearised:
    params = problem.fit(weights[None], no_seeds(1)).params[0]
    return linearised(
        problem, params, weights, curvature=GaussNewton(), damping=damping
    )


@each_normalisation
def test_its_derivative_is_damped_gauss_newton_influence(normalisation: str) -> None:
    # Of a network that is far from converged: central differences of its minimiser.
    problem, weights = network(normalisation), 0.3 + weight_rows(1, N_TRAIN, seed=1)[0]
    model = model_of(problem, weights, damping=0.05)
    step, moves = 1e-3, torch.eye(N_TRAIN).double()
    up, down = (
        proximal_response(model, weights + s * step * moves, tolerance=1e-13).outputs
        for s in (1, -1)
    )
    truth = (up - down) / (2 * step)
    found = weight_derivatives(
        problem, weights[None], no_seeds(1), curvature=GaussNewton(), damping=0.05
    )[0]
    error = (found - truth).norm(dim=0) / truth.norm(dim=0)
    assert error.max() < 1e-5


def written_value(model: Linearised, weights: Tensor, theta: Tensor) -> Tensor:
    """Return Q(theta) an example at a time."""
    problem, damping = model.problem, model.damping
    sums = problem.description.normalisation == "sum"
    old = model.weights.sum() if sums else N_TRAIN
    new = weights.sum() if sums else N_TRAIN
    z, start = problem.predictions(theta), problem.predictions(model.params)
    losses = problem.prediction_losses
    at_start = losses(start)
    slopes = torch.func.grad(lambda v: losses(v).sum())(start)
    total = 0.5 * damping * (theta - model.params).square().sum()
    # The penalty is quadratic: its divergence is that of a distance.
    total = total + 0.5 * 0.02 * (theta - model.params).square().sum()
    for j in range(N_TRAIN):
        divergence = losses(z)[j] - at_start[j] - slopes[j] @ (z[j] - start[j])
        total = total + model.weights[j] / old * divergence
        total = total + (weights[j] / new - model.weights[j] / old) * losses(z)[j]
    return total


@each_normalisation
def test_it_minimises_the_objective_as_it_is_written(normalisation: str) -> None:
    problem, weights = network(normalisation), torch.ones(N_TRAIN).double()
    model = model_of(problem, weights, damping=0.05)
    without = weights.clone()
    without[[1, 4]] = 0
    found = proximal_response(model, without[None])
    theta = found.params[0]
    slope = torch.func.grad(lambda t: written_value(model, without, t))(theta)
    assert slope.abs().max() < 1e-10
    assert found.gradient_norm.item() == pytest.approx(
        slope.abs().max().item(), abs=1e-13
    )
    here = written_value(model, without, theta)
    for seed in range(5):
        way = 1e-3 * normal(len(theta), seed=seed)
        assert written_value(model, without, theta + way) > here
    assert here < written_value(model, without, model.params)
    torch.testing.assert_close(found.outputs[0], problem.target_outputs(theta))


def test_without_a_change_it_is_the_model_itself() -> None:
    problem, weights = network(), torch.ones(N_TRAIN).double()
    model = model_of(problem, weights, damping=0.05)
    found = proximal_response(model, weights[None])
    assert torch.equal(found.params[0], model.params)
    assert found.iterations.item() == 0


@each_normalisation
@pytest.mark.parametrize("make", [LogisticRegression, SoftmaxRegression])
def test_on_a_converged_convex_problem_it_is_retraining(
    make: Any, normalisation: str
) -> None:
    data = table(16, 3, classes=2, seed=4)
    problem = make(data=data, ridge=0.05, normalisation=normalisation)
    found = leave_out(problem, rule=ProximalBregman(tolerance=1e-12))
    truth = leave_one_out(problem).scores
    torch.testing.assert_close(found.scores, truth, rtol=0, atol=1e-8)
    assert found.method.startswith("proximal Bregman response")
    assert found.estimand.quantity == "proximal Bregman response"


@each_normalisation
def test_in_least_squares_damping_is_a_spring_to_the_trained_model(
    normalisation: Any,
) -> None:
    # (X'SX + ridge + damping) (theta - theta_s) = what the removed example had pulled.
    data = table(16, 3, seed=0)
    problem = LeastSquares(data=data, ridge=0.2, normalisation=normalisation)
    found = leave_out(problem, rule=ProximalBregman(), damping=0.3).scores
    x, y = data.x_train, data.y_train
    theta = problem.fit(torch.ones(1, 16).double(), no_seeds(1)).params[0]
    for i in range(16):
        s = torch.ones(16).double()
        s[i] = 0
        s = s / (15 if normalisation == "sum" else 16)
        matrix = x.T @ (s[:, None] * x) + (0.2 + 0.3) * torch.eye(3).double()
        pull = x.T @ (s * (y - x @ theta)) - 0.2 * theta
        move = torch.linalg.solve(matrix, pull)
        torch.testing.assert_close(found[i], -(data.x_target @ move))
    newton = leave_out(problem, rule=NewtonStep(), damping=0.3).scores
    torch.testing.assert_close(found, newton, rtol=1e-8, atol=1e-10)


def test_what_is_not_solved_is_refused() -> None:
    problem, weights = network(), torch.ones(N_TRAIN).double()
    model = model_of(problem, weights, damping=0.05)
    without = weights.clone()
    without[0] = 0
    with pytest.raises(ValueError, match=r"but 1 of 1 changes reached .* raise damp"):
        proximal_response(model, without[None], most_iterations=1)
    with pytest.raises(ValueError, match="tolerance must be finite and > 0, got 0"):
        proximal_response(model, without[None], tolerance=0.0)
    with pytest.raises(ValueError, match="most_iterations must be at least 1"):
        proximal_response(model, without[None], most_iterations=0)
    with pytest.raises(ValueError, match="tolerance must be finite"):
        proximal_response(model, without[None], tolerance=math.nan)

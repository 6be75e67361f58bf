"""Gradients of example losses and of target outputs at trained parameters."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, jacfwd, jacrev

from dmtheory.problems.base import DifferentiableProblem


def prediction_jacobian(
    problem: DifferentiableProblem, params: Float[Tensor, " params"]
) -> Float[Tensor, "train classes params"]:
    """Return the derivative of every prediction, by the mode with fewer passes."""
    n_outputs = problem.predictions(params).numel()
    differentiate = jacfwd if len(params) <= n_outputs else jacrev
    return differentiate(problem.predictions)(params)


def prediction_slopes(
    problem: DifferentiableProblem, params: Float[Tensor, " params"]
) -> Float[Tensor, "train classes"]:
    """Return dl_j/dz_j, the derivative of each loss by its own prediction.

    l_j depends on its own prediction alone, so one gradient has them all.
    """

    def total_loss(predictions: Tensor) -> Tensor:
        return problem.prediction_losses(predictions).sum()

    return grad(total_loss)(problem.predictions(params))


def example_gradients(
    problem: DifferentiableProblem,
    params: Float[Tensor, " params"],
    jacobian: Float[Tensor, "train classes params"] | None = None,
) -> Float[Tensor, "train params"]:
    """Return grad l_j of every example; R is no part of l_j.

    Args:
        problem: Losses and predictions.
        params: Where.
        jacobian: Derivative of the predictions, where it is at hand.
    """
    if jacobian is None:
        jacobian = prediction_jacobian(problem, params)
    return torch.einsum("jc,jcp->jp", prediction_slopes(problem, params), jacobian)


def target_gradients(
    problem: DifferentiableProblem, params: Float[Tensor, " params"]
) -> Float[Tensor, "targets params"]:
    """Return grad f of every target."""
    return jacrev(problem.target_outputs)(params)

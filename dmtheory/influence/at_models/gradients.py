"""Gradients of example losses and of target outputs at trained parameters."""

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.influence.at_models.rows import rows_of
from dmtheory.influence.at_models.targets import target_gradients
from dmtheory.influence.curvature.losses import loss_slopes
from dmtheory.problems.base import DifferentiableProblem

__all__ = [
    "example_gradients",
    "prediction_jacobian",
    "prediction_slopes",
    "target_gradients",
]


def prediction_jacobian(
    problem: DifferentiableProblem, params: Float[Tensor, " params"]
) -> Float[Tensor, "train classes params"]:
    """Return the derivative of every prediction, an example at a time if it can be."""
    rows = rows_of(problem, params.device)
    return rows.jacobian(params, slice(rows.n_rows))


def prediction_slopes(
    problem: DifferentiableProblem, params: Float[Tensor, " params"]
) -> Float[Tensor, "train classes"]:
    """Return dl_j/dz_j, the derivative of each loss by its own prediction."""
    return loss_slopes(problem, problem.predictions(params))


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
    slopes = prediction_slopes(problem, params)
    if jacobian is None:
        rows = rows_of(problem, params.device)
        return rows.pulled(params, slopes[:, :, None], slice(rows.n_rows))[:, 0]
    return torch.einsum("jc,jcp->jp", slopes, jacobian)

"""Curvature of the objective: exact Hessian and generalised Gauss-Newton."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import hessian, vmap

from dmtheory.influence.gradients import prediction_jacobian
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.weighting import normaliser


@runtime_checkable
class Curvature(Protocol):
    """A rule that gives the curvature of J(.; w) at a parameter vector."""

    @property
    def name(self) -> str:
        """The rule's name in results."""
        ...

    def matrix(
        self,
        problem: DifferentiableProblem,
        params: Float[Tensor, " params"],
        scaled_weights: Float[Tensor, " train"],
        jacobian: Float[Tensor, "train classes params"],
    ) -> Float[Tensor, "params params"]:
        """Return the curvature, the regulariser's included.

        Args:
            problem: Losses and penalty.
            params: Where.
            scaled_weights: w_j / W.
            jacobian: Derivative of the predictions.

        Returns:
            A symmetric matrix in units of J.
        """
        ...


@dataclass(frozen=True, slots=True)
class ExactHessian:
    """H = (1/W) sum_j w_j d^2 l_j + d^2 R."""

    @property
    def name(self) -> str:
        """The rule's name in results."""
        return "exact Hessian"

    def matrix(
        self,
        problem: DifferentiableProblem,
        params: Float[Tensor, " params"],
        scaled_weights: Float[Tensor, " train"],
        jacobian: Float[Tensor, "train classes params"],
    ) -> Float[Tensor, "params params"]:
        """Return the Hessian of J(.; w)."""

        def objective(theta: Tensor) -> Tensor:
            losses = problem.prediction_losses(problem.predictions(theta))
            return scaled_weights @ losses + problem.penalty(theta)

        return hessian(objective)(params)


@dataclass(frozen=True, slots=True)
class GaussNewton:
    """G = (1/W) sum_j w_j K_j' (d^2 l_j / dz^2) K_j + d^2 R, K_j = dz_j/dtheta.

    Positive semi-definite for losses that are convex in the prediction z, and equal
    to the Hessian where z is linear in theta.

    References:
        Schraudolph 2002, Fast curvature matrix-vector products, section 3.
    """

    @property
    def name(self) -> str:
        """The rule's name in results."""
        return "Gauss-Newton"

    def matrix(
        self,
        problem: DifferentiableProblem,
        params: Float[Tensor, " params"],
        scaled_weights: Float[Tensor, " train"],
        jacobian: Float[Tensor, "train classes params"],
    ) -> Float[Tensor, "params params"]:
        """Return the generalised Gauss-Newton matrix of J(.; w)."""
        predictions = problem.predictions(params)
        blocks = _loss_hessians(problem, predictions) * scaled_weights[:, None, None]
        weighted = torch.einsum("jcd,jdp->jcp", blocks, jacobian)
        matrix = jacobian.flatten(0, 1).T @ weighted.flatten(0, 1)
        return matrix + hessian(problem.penalty)(params)


def effective_parameters(problem: DifferentiableProblem, *, at: float = 1.0) -> float:
    """Return tr(H_data H^-1) at w = at·1: how many parameters the penalty leaves free.

    H is the Hessian of J, H_data the part of its losses.
    """
    weights = torch.full((1, problem.description.n_train), at, dtype=torch.float64)
    params = problem.fit(weights, torch.zeros(1, dtype=torch.int64)).params[0]
    scale = normaliser(weights, problem.description.normalisation)
    jacobian = prediction_jacobian(problem, params)
    matrix = ExactHessian().matrix(problem, params, weights[0] * scale, jacobian)
    penalty = hessian(problem.penalty)(params)
    return torch.trace(torch.linalg.solve(matrix, matrix - penalty)).item()


def _loss_hessians(
    problem: DifferentiableProblem, predictions: Float[Tensor, "train classes"]
) -> Float[Tensor, "train classes classes"]:
    """Return d^2 l_j / dz_j^2 of every example.

    l_j depends on z_j alone, so the Hessian-vector product of sum_j l_j with the same
    unit vector in every row reads off one column of every block.
    """

    def slopes(z: Tensor) -> Tensor:
        return torch.func.grad(lambda v: problem.prediction_losses(v).sum())(z)

    def column(unit: Tensor) -> Tensor:
        rows = unit.expand_as(predictions)
        return torch.func.jvp(slopes, (predictions,), (rows,))[1]

    basis = torch.eye(predictions.shape[1], dtype=predictions.dtype)
    return vmap(column)(basis).permute(1, 2, 0)

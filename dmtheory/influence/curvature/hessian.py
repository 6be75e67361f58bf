"""The exact Hessian of the objective."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import hessian

from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.at_models.rows import rows_of, rows_with_weight
from dmtheory.influence.curvature.base import CurvatureOperator
from dmtheory.influence.curvature.layered import LayeredHessian
from dmtheory.influence.curvature.layers import layers_of
from dmtheory.influence.curvature.losses import loss_hessians, loss_slopes
from dmtheory.influence.curvature.operators import LossHessian
from dmtheory.influence.curvature.regulariser import regulariser_of
from dmtheory.problems.base import DifferentiableProblem


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

    def operator(
        self,
        problem: DifferentiableProblem,
        params: Float[Tensor, " params"],
        scaled_weights: Float[Tensor, " train"],
        *,
        budget: Budget = Budget(),  # noqa: B008 -- frozen
    ) -> CurvatureOperator:
        """Return the Hessian of J(.; w) by its products with vectors."""
        rows, chosen = rows_with_weight(problem, scaled_weights)
        origin = rows_of(problem, params.device).predictions(params, budget)
        slopes = loss_slopes(problem, origin) * scaled_weights[:, None]
        blocks = loss_hessians(problem, origin) * scaled_weights[:, None, None]
        shared: dict[str, Any] = {
            "name": self.name,
            "params": params,
            "rows": rows,
            "regulariser": regulariser_of(problem, params),
            "budget": budget,
        }
        slopes, blocks = slopes[chosen], blocks[chosen]
        layers = layers_of(rows, params, budget, slopes)
        if layers is None or layers.bends is None:
            return LossHessian(
                origin=origin[chosen], slopes=slopes, blocks=blocks, **shared
            )
        convex = layers.predictions.mT @ blocks @ layers.predictions
        return LayeredHessian(
            layers=layers,
            slopes=torch.einsum("jc,jcs->js", slopes, layers.predictions),
            couplings=convex + layers.bends,
            convex=convex,
            **shared,
        )

"""Curvatures that are sums of outer products: Gauss-Newton and the Fishers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import hessian

from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.at_models.rows import rows_of, rows_with_weight
from dmtheory.influence.curvature.base import LowRank
from dmtheory.influence.curvature.layered import LayeredOuterProduct
from dmtheory.influence.curvature.layers import layers_of
from dmtheory.influence.curvature.losses import (
    loss_hessians,
    loss_slopes,
    predictive_roots,
)
from dmtheory.influence.curvature.operators import OuterProduct
from dmtheory.influence.curvature.regulariser import regulariser_of
from dmtheory.problems.base import DifferentiableProblem

# Eigenvalues of d^2 l/dz^2 below this, relative to the largest, are no rounding.
_NEGATIVE = -1e-9


@dataclass(frozen=True, slots=True)
class _OuterProducts(ABC):
    """C = (1/W) sum_j w_j K_j' M_j K_j + d^2 R, K_j = dz_j/dtheta, by its M_j."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The rule's name in results."""

    def blocks(
        self,
        problem: DifferentiableProblem,
        predictions: Float[Tensor, "train classes"],
    ) -> Float[Tensor, "train classes classes"]:
        """Return M_j of every example."""
        roots = self.roots(problem, predictions)
        return roots @ roots.mT

    @abstractmethod
    def roots(
        self,
        problem: DifferentiableProblem,
        predictions: Float[Tensor, "train classes"],
    ) -> Float[Tensor, "train classes columns"]:
        """Return B_j with B_j B_j' = M_j."""

    def matrix(
        self,
        problem: DifferentiableProblem,
        params: Float[Tensor, " params"],
        scaled_weights: Float[Tensor, " train"],
        jacobian: Float[Tensor, "train classes params"],
    ) -> Float[Tensor, "params params"]:
        """Return the curvature of J(.; w)."""
        predictions = problem.predictions(params)
        blocks = self.blocks(problem, predictions) * scaled_weights[:, None, None]
        weighted = torch.einsum("jcd,jdp->jcp", blocks, jacobian)
        matrix = jacobian.flatten(0, 1).T @ weighted.flatten(0, 1)
        return matrix + hessian(problem.penalty)(params)

    def operator(
        self,
        problem: DifferentiableProblem,
        params: Float[Tensor, " params"],
        scaled_weights: Float[Tensor, " train"],
        *,
        budget: Budget = Budget(),  # noqa: B008 -- frozen
    ) -> LowRank:
        """Return the curvature of J(.; w) by its products with vectors."""
        rows, chosen = rows_with_weight(problem, scaled_weights)
        predictions = rows_of(problem, params.device).predictions(params, budget)
        roots = self.roots(problem, predictions)
        roots = roots * scaled_weights.sqrt()[:, None, None]
        shared: dict[str, Any] = {
            "name": self.name,
            "params": params,
            "rows": rows,
            "regulariser": regulariser_of(problem, params),
            "budget": budget,
        }
        layers = layers_of(rows, params, budget)
        if layers is None:
            return OuterProduct(roots=roots[chosen], **shared)
        roots = layers.predictions.mT @ roots[chosen]
        return LayeredOuterProduct(layers=layers, roots=roots, **shared)


@dataclass(frozen=True, slots=True)
class GaussNewton(_OuterProducts):
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

    def blocks(
        self,
        problem: DifferentiableProblem,
        predictions: Float[Tensor, "train classes"],
    ) -> Float[Tensor, "train classes classes"]:
        """Return d^2 l_j / dz^2."""
        return loss_hessians(problem, predictions)

    def roots(
        self,
        problem: DifferentiableProblem,
        predictions: Float[Tensor, "train classes"],
    ) -> Float[Tensor, "train classes columns"]:
        """Return a square root of d^2 l_j / dz^2.

        Raises:
            ValueError: If a loss is not convex in the prediction.
        """
        values, vectors = torch.linalg.eigh(self.blocks(problem, predictions))
        if bool((values < _NEGATIVE * values.abs().max()).any()):
            raise ValueError(
                "losses must be convex in the predictions for Gauss-Newton, got a "
                f"second derivative of {values.min().item():g}: use ExactHessian()"
            )
        return vectors * values.clamp_min(0).sqrt()[:, None, :]


@dataclass(frozen=True, slots=True)
class Fisher(_OuterProducts):
    """F = (1/W) sum_j w_j E_y[grad l_j(y) grad l_j(y)'] + d^2 R, y from the model.

    The expectation over the model's own predictive distribution is exact, not sampled.
    Equal to Gauss-Newton for cross-entropy and for half the squared error, which is
    the likelihood of responses with unit variance.

    References:
        Martens 2020, New insights and perspectives on the natural gradient method,
        section 9.
    """

    @property
    def name(self) -> str:
        """The rule's name in results."""
        return "Fisher"

    def roots(
        self,
        problem: DifferentiableProblem,
        predictions: Float[Tensor, "train classes"],
    ) -> Float[Tensor, "train classes columns"]:
        """Return sqrt(p_y) dl_j(y)/dz, a column a label."""
        return predictive_roots(problem, predictions)


@dataclass(frozen=True, slots=True)
class EmpiricalFisher(_OuterProducts):
    """E = (1/W) sum_j w_j grad l_j grad l_j' + d^2 R, at the labels of the data.

    No estimate of the Fisher: where all examples are fitted it vanishes.

    References:
        Kunstner, Hennig and Balles 2019, Limitations of the empirical Fisher
        approximation.
    """

    @property
    def name(self) -> str:
        """The rule's name in results."""
        return "empirical Fisher"

    def roots(
        self,
        problem: DifferentiableProblem,
        predictions: Float[Tensor, "train classes"],
    ) -> Float[Tensor, "train classes columns"]:
        """Return dl_j/dz."""
        return loss_slopes(problem, predictions)[:, :, None]

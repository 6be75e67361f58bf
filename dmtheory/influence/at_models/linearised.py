"""A trained model to first order: gradients, curvature, and how parameters answer."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.influence.at_models.gradients import (
    example_gradients,
    prediction_jacobian,
    target_gradients,
)
from dmtheory.influence.curvature import Curvature
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.weighting import normaliser


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linearised:
    """One trained model, with what first-order attributions need of it.

    Attributes:
        problem: Losses, outputs and penalty.
        params: theta, taken as a stationary point of J(.; w).
        weights: w.
        curvature: The rule behind `factor`.
        damping: Added to the curvature.
        jacobian: Derivative of the predictions.
        gradients: grad l_j of every example.
        toward: grad f of every target.
        factor: Lower Cholesky factor of the damped curvature.
    """

    problem: DifferentiableProblem
    params: Float[Tensor, " params"]
    weights: Float[Tensor, " train"]
    curvature: Curvature
    damping: float
    jacobian: Float[Tensor, "train classes params"]
    gradients: Float[Tensor, "train params"]
    toward: Float[Tensor, "targets params"]
    factor: Float[Tensor, "params params"]

    @property
    def divisor(self) -> float:
        """W of the objective."""
        return 1.0 / scale_of(self.problem, self.weights)

    def solve(
        self, sides: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "params sides"]:
        """Return (H + damping I)^-1 times each column."""
        return torch.cholesky_solve(sides, self.factor)

    def matrix_at(
        self, scaled: Float[Tensor, " train"]
    ) -> Float[Tensor, "params params"]:
        """Return the damped curvature here for other scaled weights w_j / W."""
        return damped_curvature(
            self.problem,
            self.params,
            scaled,
            self.curvature,
            self.damping,
            self.jacobian,
        )


def linearised(
    problem: DifferentiableProblem,
    params: Float[Tensor, " params"],
    weights: Float[Tensor, " train"],
    *,
    curvature: Curvature,
    damping: float,
) -> Linearised:
    """Return a model with its gradients and factored curvature.

    Raises:
        ValueError: If the damped curvature is not positive definite.
    """
    jacobian = prediction_jacobian(problem, params)
    scaled = weights * scale_of(problem, weights)
    matrix = damped_curvature(problem, params, scaled, curvature, damping, jacobian)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed):
        raise ValueError(
            f"damping must make the {curvature.name} positive definite, but damping "
            f"{damping:g} leaves negative or zero curvature: raise damping, or use the "
            "Gauss-Newton curvature"
        )
    return Linearised(
        problem=problem,
        params=params,
        weights=weights,
        curvature=curvature,
        damping=damping,
        jacobian=jacobian,
        gradients=example_gradients(problem, params, jacobian),
        toward=target_gradients(problem, params),
        factor=factor,
    )


def damped_curvature(
    problem: DifferentiableProblem,
    params: Float[Tensor, " params"],
    scaled: Float[Tensor, " train"],
    curvature: Curvature,
    damping: float,
    jacobian: Float[Tensor, "train classes params"],
) -> Float[Tensor, "params params"]:
    """Return the curvature of J plus damping, for scaled weights w_j / W."""
    matrix = curvature.matrix(problem, params, scaled, jacobian)
    return matrix + damping * torch.eye(len(params)).to(params)


def scale_of(problem: DifferentiableProblem, weights: Float[Tensor, " train"]) -> float:
    """Return 1/W."""
    return normaliser(weights[None], problem.description.normalisation).item()


def scaled_weights(
    problem: DifferentiableProblem, weights: Float[Tensor, "*rows train"]
) -> Float[Tensor, "*rows train"]:
    """Return w_j / W, the factor of each loss in J."""
    rows = weights.reshape(-1, weights.shape[-1])
    scales = normaliser(rows, problem.description.normalisation)
    return (rows * scales[:, None]).reshape(weights.shape)


def scaled_motion(
    problem: DifferentiableProblem,
    weights: Float[Tensor, " train"],
    directions: Float[Tensor, "rows train"],
) -> tuple[Float[Tensor, "rows train"], Float[Tensor, "rows train"]]:
    """Return the first and second derivative of s = w/W along w + t d, at t = 0.

    `count`: d/N and 0. `sum`, whose divisor moves too, with D = sum_j d_j:
    (d - w D/W)/W and -2 (D/W) times that.
    """
    scale = scale_of(problem, weights)
    if problem.description.normalisation == "count":
        return directions * scale, torch.zeros_like(directions)
    share = directions.sum(1, keepdim=True) * scale
    first = (directions - weights * share) * scale
    return first, -2 * share * first

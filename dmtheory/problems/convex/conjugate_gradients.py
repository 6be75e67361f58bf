"""Newton directions without Hessians: conjugate gradients, one preconditioner."""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from dmtheory.problems.convex.objective import Objective, Params

_MAX_ITERATIONS = 1000
# Shares of the residual that one Newton step is solved to: at the least, at the most.
_LEAST_SHARE = 1e-3
_MOST_SHARE = 0.1
# Largest condition number whose inverse is applied in single precision.
_MOST_ROUNDED = 1e5


class Inverse(NamedTuple):
    """An approximate inverse Hessian S A S of features in any units.

    Attributes:
        scales: S, the diagonal that gives the Hessian a diagonal of ones.
        matrix: A, in single precision where that rounds little.
    """

    scales: Float[Tensor, "params 1"]
    matrix: Float[Tensor, "params params"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Preconditioner:
    """Approximate inverse Hessians that the models of a design share.

    H(w) ~ c H_data + ridge I with H_data the data's curvature at the full-data
    optimum and c the model's total scaled weight: models of a random design differ
    from it by sampling alone. c is rounded to a power of two, so that the models of a
    design share one matrix and none of them depends on who else is there.

    Attributes:
        curvature: H_data.
        ridge: The penalty.
    """

    curvature: Float[Tensor, "params params"]
    ridge: float
    _inverses: dict[int, Inverse] = field(default_factory=dict, repr=False)

    def octaves(self, objective: Objective) -> Int64[Tensor, " models"]:
        """Return log2 of each model's total scaled weight, rounded."""
        total = objective.scaled.sum(0).clamp_min(2.0**-30)
        return total.log2().round().long()

    def apply(self, residual: Params, octaves: Int64[Tensor, " models"]) -> Params:
        """Return the approximate inverse times each model's residual.

        Conjugate gradients correct what single precision rounds.
        """
        flat = residual.flatten(0, 1)
        solved = torch.zeros_like(flat)
        for octave in octaves.unique().tolist():
            scales, matrix = self._inverse(octave)
            # The whole product, always of one shape: see LANES.
            every = scales * (matrix @ (scales * flat).to(matrix.dtype))
            solved = torch.where(octaves == octave, every, solved)
        return solved.unflatten(0, residual.shape[:2])

    def _inverse(self, octave: int) -> Inverse:
        if octave not in self._inverses:
            matrix = 2.0**octave * self.curvature
            matrix.diagonal().add_(self.ridge)
            self._inverses[octave] = _inverted(matrix)
        return self._inverses[octave]


def _inverted(matrix: Float[Tensor, "params params"]) -> Inverse:
    scales = matrix.diagonal().rsqrt()[:, None]
    values, vectors = torch.linalg.eigh(scales * matrix * scales.T)
    # Rounding leaves values below zero where the matrix is singular to rounding.
    values = values.clamp_min(1e-15 * values[-1])
    inverse = (vectors / values) @ vectors.T
    # Single precision would lose the curved directions under the inverse of flat ones.
    exact = bool(values[-1] > _MOST_ROUNDED * values[0])
    return Inverse(scales, inverse if exact else inverse.float())


def preconditioner(
    objective: Objective, means: Float[Tensor, "train outputs 1"]
) -> Preconditioner:
    """Return the shared preconditioner from one model's curvature, at its optimum."""
    curvature = objective.hessians(means)[0]
    curvature.diagonal().sub_(objective.ridge)
    # A feature that is zero has rounding alone.
    curvature.diagonal().clamp_(min=0)
    return Preconditioner(curvature=curvature, ridge=objective.ridge)


@dataclass(frozen=True, kw_only=True, eq=False)
class ConjugateGradients:
    """Newton directions by preconditioned conjugate gradients, all models together.

    With |r|^2 = r' M r for the preconditioner M, the square of the Newton decrement
    and free of the features' units, each model stops at a residual of
    min(1/10, |g|) |g|, or of |g|/1000 if that is more: what lies below is left to the
    next Newton step. A quadratic problem has |g|/1000 at once.

    Attributes:
        preconditioner: The shared approximate inverse.

    References:
        Nocedal and Wright 2006, Numerical Optimization, algorithm 7.1.
    """

    preconditioner: Preconditioner

    def __call__(
        self,
        objective: Objective,
        means: Tensor,
        gradient: Params,
        near: Bool[Tensor, " models"],
    ) -> Params:
        """Return d with |H d + g| small for every model, H as it is here."""
        octaves = self.preconditioner.octaves(objective)
        residual = -gradient
        solution = torch.zeros_like(gradient)
        direction = self.preconditioner.apply(residual, octaves)
        product = _dot(residual, direction)
        most = _LEAST_SHARE if objective.family.quadratic else _MOST_SHARE
        target = product.clamp(_LEAST_SHARE**2, most**2) * product
        for _ in range(_MAX_ITERATIONS):
            curved = objective.curve(means, direction)
            # A model that is done has a direction of zero length: it stays.
            length = product / _dot(direction, curved).clamp_min(1e-300)
            solution = torch.addcmul(solution, direction, length)
            residual = torch.addcmul(residual, curved, -length)
            ready = self.preconditioner.apply(residual, octaves)
            following = _dot(residual, ready)
            unsolved = following > target
            if not bool(unsolved.any()):
                break
            ratio = following / product.clamp_min(1e-300)
            direction = torch.addcmul(ready, direction, ratio) * unsolved
            product = following * unsolved
        return solution


def _dot(a: Params, b: Params) -> Float[Tensor, " models"]:
    return (a * b).sum((0, 1))

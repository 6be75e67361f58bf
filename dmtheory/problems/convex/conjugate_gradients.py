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
# Keeps quotients of models that are done finite, in single precision too.
_TINY = 1e-36
# Largest condition number of systems that are solved in single precision.
_MOST_ROUNDED = 1e5


class Inverse(NamedTuple):
    """An approximate inverse Hessian S A S of features in any units.

    Attributes:
        scales: S, the diagonal that gives the Hessian a diagonal of ones.
        matrix: A.
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
        precision: What systems are solved in: single where that rounds little.
    """

    curvature: Float[Tensor, "params params"]
    ridge: float
    precision: torch.dtype
    _inverses: dict[int, Inverse] = field(default_factory=dict, repr=False)

    def octaves(self, objective: Objective) -> Int64[Tensor, " models"]:
        """Return log2 of each model's total scaled weight, rounded."""
        total = objective.scaled.sum(0).clamp_min(2.0**-30)
        return total.log2().round().long()

    def apply(self, residual: Params, octaves: Int64[Tensor, " models"]) -> Params:
        """Return the approximate inverse times each model's residual."""
        flat = residual.flatten(0, 1)
        solved = torch.zeros_like(flat)
        for octave in octaves.unique().tolist():
            scales, matrix = self._inverse(octave)
            # The whole product, always of one shape: see LANES.
            every = scales * (matrix @ (scales * flat))
            solved = torch.where(octaves == octave, every, solved)
        return solved.unflatten(0, residual.shape[:2])

    def _inverse(self, octave: int) -> Inverse:
        if octave not in self._inverses:
            matrix = 2.0**octave * self.curvature
            matrix.diagonal().add_(self.ridge)
            self._inverses[octave] = _inverted(matrix, self.precision)
        return self._inverses[octave]


def _inverted(matrix: Float[Tensor, "params params"], kind: torch.dtype) -> Inverse:
    scales = matrix.diagonal().rsqrt()[:, None]
    values, vectors = torch.linalg.eigh(scales * matrix * scales.T)
    # Rounding leaves values below zero where the matrix is singular to rounding.
    values = values.clamp_min(1e-15 * values[-1])
    inverse = (vectors / values) @ vectors.T
    return Inverse(scales.to(kind), inverse.to(kind))


def _precision(objective: Objective) -> torch.dtype:
    """Return single precision unless some Hessian may be too flat for it.

    Its eigenvalues lie between the ridge and that plus the features' mean squares, at
    any parameters.
    """
    curved = objective.x.square().mean(0).sum()
    rounded = bool(curved <= _MOST_ROUNDED * objective.ridge)
    return torch.float32 if rounded else torch.float64


def preconditioner(
    objective: Objective, means: Float[Tensor, "train outputs 1"]
) -> Preconditioner:
    """Return the shared preconditioner from one model's curvature, at its optimum."""
    curvature = objective.hessians(means)[0]
    curvature.diagonal().sub_(objective.ridge)
    # A feature that is zero has rounding alone.
    curvature.diagonal().clamp_(min=0)
    return Preconditioner(
        curvature=curvature, ridge=objective.ridge, precision=_precision(objective)
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ConjugateGradients:
    """Newton directions by preconditioned conjugate gradients, all models together.

    With |r|^2 = r' M r for the preconditioner M, the square of the Newton decrement
    and free of the features' units, each model stops at a residual of
    min(1/10, |g|) |g|, or of |g|/1000 if that is more: what lies below is left to the
    next Newton step, and so is what single precision rounds. A quadratic problem has
    |g|/1000 at once.

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
        kind = self.preconditioner.precision
        octaves = self.preconditioner.octaves(objective)
        here = objective.single if kind == torch.float32 else objective
        means = means.to(kind)
        # Of length one: squares of small numbers would leave single precision.
        length = gradient.abs().amax((0, 1)).clamp_min(1e-300)
        residual = (-gradient / length).to(kind)
        solution = torch.zeros_like(residual)
        direction = self.preconditioner.apply(residual, octaves)
        product = _dot(residual, direction)
        target = self._share(objective, product * length.square()) * product
        for _ in range(_MAX_ITERATIONS):
            curved = here.curve(means, direction)
            # A model that is done has a direction of zero length: it stays.
            step = product / _dot(direction, curved).clamp_min(_TINY)
            solution = torch.addcmul(solution, direction, step)
            residual = torch.addcmul(residual, curved, -step)
            ready = self.preconditioner.apply(residual, octaves)
            following = _dot(residual, ready)
            unsolved = following > target
            if not bool(unsolved.any()):
                break
            # Of a model that is done both are zero.
            product, before = following * unsolved, product.clamp_min(_TINY)
            direction = torch.addcmul(ready * unsolved, direction, product / before)
        return solution * length

    def _share(
        self, objective: Objective, decrement: Float[Tensor, " models"]
    ) -> Float[Tensor, " models"]:
        """Return which share of |g|^2 may be left."""
        most = _LEAST_SHARE if objective.family.quadratic else _MOST_SHARE
        return decrement.clamp(_LEAST_SHARE**2, most**2)


def _dot(a: Params, b: Params) -> Float[Tensor, " models"]:
    return (a * b).sum((0, 1))

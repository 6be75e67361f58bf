"""Newton directions without Hessians: conjugate gradients, one preconditioner."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.problems.convex.newton import Step
from dmtheory.problems.convex.objective import Objective, Params

_MAX_ITERATIONS = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Preconditioner:
    """Approximate inverse Hessians that the models of a design share.

    H(w) ~ c H_data + ridge I with H_data the data's curvature at the full-data
    optimum and c the model's total scaled weight: models of a random design differ
    from it by sampling alone. c is rounded to a power of two, so that the models of a
    design share one matrix and none of them depends on who else is there.

    Attributes:
        values: Eigenvalues of H_data.
        vectors: Its eigenvectors.
        ridge: The penalty.
    """

    values: Float[Tensor, " params"]
    vectors: Float[Tensor, "params params"]
    ridge: float
    _inverses: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def octaves(self, objective: Objective) -> Int64[Tensor, " models"]:
        """Return log2 of each model's total scaled weight, rounded."""
        total = objective.scaled.sum(0).clamp_min(2.0**-30)
        return total.log2().round().long()

    def apply(self, residual: Params, octaves: Int64[Tensor, " models"]) -> Params:
        """Return the approximate inverse times each model's residual.

        In single precision: conjugate gradients correct what it rounds.
        """
        flat = residual.flatten(0, 1).float()
        solved = torch.zeros_like(flat)
        for octave in octaves.unique().tolist():
            # The whole product, always of one shape: see LANES.
            every = self._inverse(octave) @ flat
            solved = torch.where(octaves == octave, every, solved)
        return solved.double().unflatten(0, residual.shape[:2])

    def _inverse(self, octave: int) -> Float[Tensor, "params params"]:
        if octave not in self._inverses:
            spectrum = self.vectors / (2.0**octave * self.values + self.ridge)
            self._inverses[octave] = (spectrum @ self.vectors.T).float()
        return self._inverses[octave]


def preconditioner(
    objective: Objective, means: Float[Tensor, "train outputs 1"]
) -> Preconditioner:
    """Return the shared preconditioner from one model's curvature, at its optimum."""
    hessian = objective.hessians(means)[0]
    values, vectors = torch.linalg.eigh(hessian)
    return Preconditioner(
        values=(values - objective.ridge).clamp_min(0),
        vectors=vectors,
        ridge=objective.ridge,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ConjugateGradients:
    """Newton directions by preconditioned conjugate gradients, all models together.

    Each model stops at a residual of min(1/10, |g|) |g| in the 2-norm, which keeps
    Newton's convergence quadratic; a quadratic problem is solved in one go.

    Attributes:
        preconditioner: The shared approximate inverse.

    References:
        Nocedal and Wright 2006, Numerical Optimization, algorithm 7.1.
    """

    preconditioner: Preconditioner

    def __call__(self, objective: Objective, means: Tensor, gradient: Params) -> Step:
        """Return d with |H d + g| small for every model."""
        octaves = self.preconditioner.octaves(objective)
        residual = -gradient
        size = _norm(gradient)
        share = 1e-3 if objective.family.quadratic else size.clamp(max=0.1)
        target = share * size
        solution = torch.zeros_like(gradient)
        direction = self.preconditioner.apply(residual, octaves)
        product = _dot(residual, direction)
        for _ in range(_MAX_ITERATIONS):
            curved = objective.curve(means, direction)
            # A model that is done has a direction of zero length: it stays.
            length = product / _dot(direction, curved).clamp_min(1e-300)
            solution = torch.addcmul(solution, direction, length)
            residual = torch.addcmul(residual, curved, -length)
            unsolved = _norm(residual) > target
            if not bool(unsolved.any()):
                break
            ready = self.preconditioner.apply(residual, octaves)
            following = _dot(residual, ready)
            ratio = following / product.clamp_min(1e-300)
            direction = torch.addcmul(ready, direction, ratio) * unsolved
            product = following * unsolved
        return Step(solution, None)


def _dot(a: Params, b: Params) -> Float[Tensor, " models"]:
    return (a * b).sum((0, 1))


def _norm(a: Params) -> Float[Tensor, " models"]:
    return a.square().sum((0, 1)).sqrt()

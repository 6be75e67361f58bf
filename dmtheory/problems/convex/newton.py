"""Newton's method for many linear models at once."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmtheory.problems.convex.objective import Objective, Params

_MAX_STEPS = 60
_MAX_HALVINGS = 30


class Step(NamedTuple):
    """Newton directions, with the factors of the Hessians where there are any.

    Attributes:
        direction: d with H d = -g, a model.
        factor: Lower Cholesky factor of H, a model.
    """

    direction: Params
    factor: Float[Tensor, "models params params"] | None


@runtime_checkable
class NewtonSystem(Protocol):
    """A rule that solves H d = -g for every model."""

    def __call__(self, objective: Objective, means: Tensor, gradient: Params) -> Step:
        """Return the directions, given the family's means and the gradient."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Minimum:
    """Minimisers with the certificate of their solution.

    Attributes:
        params: One parameter matrix a model.
        gradient_norm: Largest absolute entry of the gradient there, a model.
        converged: Whether that is at most the tolerance.
        factor: Lower Cholesky factor of the Hessian where the gradient first was
            within the tolerance; None from a system without factors.
    """

    params: Params
    gradient_norm: Float[Tensor, " models"]
    converged: Bool[Tensor, " models"]
    factor: Float[Tensor, "models params params"] | None


def minimise(
    objective: Objective, start: Params, solve: NewtonSystem, *, tolerance: float
) -> Minimum:
    """Minimise J for every model by Newton's method with halved steps.

    A model that has converged takes one more full step, which squares its error, and
    stays, so its path depends on no other model.

    Args:
        objective: The models.
        start: Where to begin.
        solve: How the Newton systems are solved.
        tolerance: Largest absolute gradient entry of a converged model.

    Returns:
        Minimisers with the gradient norm that was reached.
    """
    params, z = start, objective.predictions(start)
    settled = torch.zeros(params.shape[2], dtype=torch.bool, device=params.device)
    factor = None
    for _ in range(_MAX_STEPS):
        means = objective.family.means(z)
        gradient = objective.gradient(params, means)
        within = gradient.abs().amax((0, 1)) <= tolerance
        step = solve(objective, means, gradient)
        moved, reached = _search(objective, params, z, gradient, step.direction)
        params = torch.where(settled, params, moved)
        z = torch.where(settled, z, reached)
        if step.factor is not None:
            kept = step.factor if factor is None else factor
            factor = torch.where(settled[:, None, None], kept, step.factor)
        settled = settled | within
        if bool(settled.all()):
            break
    means = objective.family.means(objective.predictions(params))
    norm = objective.gradient(params, means).abs().amax((0, 1))
    return Minimum(
        params=params, gradient_norm=norm, converged=norm <= tolerance, factor=factor
    )


def by_factors(objective: Objective, means: Tensor, gradient: Params) -> Step:
    """Solve the Newton systems by a Cholesky factor of each model's Hessian."""
    factor = torch.linalg.cholesky(objective.hessians(means))
    right = gradient.flatten(0, 1).T[:, :, None]
    solved = torch.cholesky_solve(right, factor)[:, :, 0]
    return Step(-solved.T.unflatten(0, gradient.shape[:2]), factor)


def _search(
    objective: Objective, here: Params, z: Tensor, gradient: Params, step: Params
) -> tuple[Params, Tensor]:
    """Halve each model's step until it decreases J enough (Armijo).

    Predictions are linear in the step, so trying a shorter one needs no product with
    the examples.

    Returns:
        Parameters and predictions after the step.
    """
    dz = objective.predictions(step)
    moved, reached = here + step, z + dz
    if objective.family.quadratic:
        return moved, reached
    start = objective.values(here, z)
    decrease = (gradient * step).sum((0, 1))
    length = torch.ones_like(start)
    # At rounding level no step decreases J: the full Newton step is right there.
    slack = 1e-14 * start.abs().clamp_min(1.0)
    for _ in range(_MAX_HALVINGS):
        value = objective.values(moved, reached)
        bad = ~(value <= start + 1e-4 * length * decrease + slack)
        if not bool(bad.any()):
            break
        length = torch.where(bad, length / 2, length)
        moved, reached = here + length * step, z + length * dz
    return moved, reached

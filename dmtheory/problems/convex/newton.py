"""Newton's method for many linear models at once."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmtheory.problems.convex.objective import Objective, Params

_MAX_STEPS = 60
_MAX_HALVINGS = 30
# Steps are polished until one is so small relative to the parameters ...
_SMALL = 1e-8
# ... and a model whose last one was larger than this has not converged.
_CERTAIN = 1e-7
# Parameters of a smaller size, in units of predictions, count as so large.
_FLOOR = 1e-3


class Step(NamedTuple):
    """Newton directions, with the factors of the Hessians where there are any.

    Attributes:
        direction: d with H d = -g, a model; NaN where H is singular to rounding.
        factor: Lower Cholesky factor of H, a model; NaN there too.
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
        converged: Whether that is at most the tolerance and the last Newton step was
            at most 1e-7 of the parameters.
        factor: Lower Cholesky factor of the Hessian where the last step was taken;
            None from a system without factors.
    """

    params: Params
    gradient_norm: Float[Tensor, " models"]
    converged: Bool[Tensor, " models"]
    factor: Float[Tensor, "models params params"] | None


def minimise(
    objective: Objective, start: Params, solve: NewtonSystem, *, tolerance: float
) -> Minimum:
    """Minimise J for every model by Newton's method with halved steps.

    A small gradient says little of the parameters where the curvature is small: they
    may be off by |g| / ridge. The Newton step says how far they are. A model whose
    gradient is within the tolerance therefore goes on until a step is at most 1e-8 of
    its parameters, takes that one, which squares its error, and stays; or until
    neither step nor gradient shrinks, which is where rounding rules. Sizes are those
    of `Objective.size`, so that units of features do not matter. A model whose Hessian
    is singular to rounding stays where it is. No path depends on another model.

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
    size = last_norm = params.new_full((params.shape[2],), torch.inf)
    factor = None
    for _ in range(_MAX_STEPS):
        means = objective.family.means(z)
        gradient = objective.gradient(params, means)
        norm = gradient.abs().amax((0, 1))
        step = solve(objective, means, gradient)
        proposed = _relative_size(objective, params, step.direction)
        lost = ~proposed.isfinite()
        direction = torch.where(lost, 0.0, step.direction)
        moved, reached = _search(objective, params, z, gradient, direction)
        params = torch.where(settled, params, moved)
        z = torch.where(settled, z, reached)
        if step.factor is not None:
            kept = step.factor if factor is None else factor
            factor = torch.where(settled[:, None, None], kept, step.factor)
        stuck = (proposed > size / 2) & (norm > last_norm / 2)
        size = torch.where(settled, size, proposed)
        settled = settled | lost | ((norm <= tolerance) & ((size <= _SMALL) | stuck))
        last_norm = norm
        if bool(settled.all()):
            break
    means = objective.family.means(objective.predictions(params))
    norm = objective.gradient(params, means).abs().amax((0, 1))
    converged = (norm <= tolerance) & (size <= _CERTAIN)
    return Minimum(
        params=params, gradient_norm=norm, converged=converged, factor=factor
    )


def _relative_size(
    objective: Objective, params: Params, step: Params
) -> Float[Tensor, " models"]:
    """Return the step's size over the parameters', 0 for no step."""
    floor = _FLOOR * objective.unit
    whole = (objective.size(params) + floor).clamp_min(1e-300)
    return objective.size(step) / whole


def by_factors(objective: Objective, means: Tensor, gradient: Params) -> Step:
    """Solve the Newton systems by a Cholesky factor of each model's Hessian."""
    factor = cholesky(objective.hessians(means))
    direction = with_factors(factor)(objective, means, gradient).direction
    return Step(direction, factor)


def with_factors(factor: Float[Tensor, "models params params"]) -> NewtonSystem:
    """Return a rule for Hessians that are the same wherever Newton's method is."""

    def solve(objective: Objective, means: Tensor, gradient: Params) -> Step:
        solved = torch.cholesky_solve(_columns(gradient), factor)
        return Step(_like(gradient, -solved), None)

    return solve


def with_inverses(inverse: Float[Tensor, "models params params"]) -> NewtonSystem:
    """Return the same for Hessians that may be singular, from inverses of theirs."""

    def solve(objective: Objective, means: Tensor, gradient: Params) -> Step:
        return Step(_like(gradient, -inverse @ _columns(gradient)), None)

    return solve


def _columns(params: Params) -> Float[Tensor, "models params 1"]:
    return params.flatten(0, 1).T[:, :, None]


def _like(params: Params, columns: Float[Tensor, "models params 1"]) -> Params:
    return columns[:, :, 0].T.unflatten(0, params.shape[:2])


def cholesky(
    matrices: Float[Tensor, "models params params"],
) -> Float[Tensor, "models params params"]:
    """Return lower Cholesky factors, NaN where a matrix is not positive definite."""
    factor, failed = torch.linalg.cholesky_ex(matrices)
    return factor.masked_fill((failed > 0)[:, None, None], torch.nan)


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

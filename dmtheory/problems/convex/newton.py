"""Newton's method for many linear models at once."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmtheory.problems.convex.objective import Objective, Params
from dmtheory.problems.convex.systems import NewtonSystem

_MAX_STEPS = 60
_MAX_HALVINGS = 30
# After so small a step relative to the parameters the curvature before it serves too:
# the next step still shrinks the error about so many times, at a fraction of the work.
_NEAR = 1e-4
# Steps are polished until one is so small relative to the parameters ...
_SMALL = 1e-8
# ... and a model whose last one was larger than this has not converged.
_CERTAIN = 1e-7
# Parameters of a smaller size, in units of predictions, count as so large.
_FLOOR = 1e-3


class _At(NamedTuple):
    """Parameters, and the predictions that they make."""

    params: Params
    predictions: Float[Tensor, "train outputs models"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Minimum:
    """Minimisers with the certificate of their solution.

    Attributes:
        params: One parameter matrix a model.
        gradient_norm: Largest absolute entry of the gradient there, a model.
        converged: Whether that is at most the tolerance and the last Newton step was
            at most 1e-7 of the parameters.
    """

    params: Params
    gradient_norm: Float[Tensor, " models"]
    converged: Bool[Tensor, " models"]


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
    here = _At(start, objective.predictions(start))
    value = objective.values(*here)
    settled = torch.zeros(start.shape[2], dtype=torch.bool, device=start.device)
    size = last_norm = start.new_full((start.shape[2],), torch.inf)
    for _ in range(_MAX_STEPS):
        means = objective.family.means(here.predictions)
        gradient = objective.gradient(here.params, means)
        norm = gradient.abs().amax((0, 1))
        step = solve(objective, means, gradient, settled | (size <= _NEAR))
        proposed = _relative_size(objective, here.params, step)
        lost = ~proposed.isfinite()
        direction = torch.where(lost | settled, 0.0, step)
        here, value = _search(objective, here, value, gradient, direction)
        stuck = (proposed > size / 2) & (norm > last_norm / 2)
        size = torch.where(settled, size, proposed)
        settled = settled | lost | ((norm <= tolerance) & ((size <= _SMALL) | stuck))
        last_norm = norm
        if bool(settled.all()):
            break
    means = objective.family.means(objective.predictions(here.params))
    norm = objective.gradient(here.params, means).abs().amax((0, 1))
    converged = (norm <= tolerance) & (size <= _CERTAIN)
    return Minimum(params=here.params, gradient_norm=norm, converged=converged)


def _relative_size(
    objective: Objective, params: Params, step: Params
) -> Float[Tensor, " models"]:
    """Return the step's size over the parameters', 0 for no step."""
    floor = _FLOOR * objective.unit
    whole = (objective.size(params) + floor).clamp_min(1e-300)
    return objective.size(step) / whole


def _search(
    objective: Objective,
    here: _At,
    start: Float[Tensor, " models"],
    gradient: Params,
    step: Params,
) -> tuple[_At, Float[Tensor, " models"]]:
    """Halve each model's step until it decreases J enough (Armijo).

    Predictions are linear in the step, so trying a shorter one needs no product with
    the examples.

    Returns:
        Where the step ends, and J there; a step of zero stays to the bit.
    """
    change = objective.predictions(step)
    moved = _At(here.params + step, here.predictions + change)
    if objective.family.quadratic:
        return moved, start
    decrease = (gradient * step).sum((0, 1))
    length = torch.ones_like(start)
    # At rounding level no step decreases J: the full Newton step is right there.
    slack = 1e-14 * start.abs().clamp_min(1.0)
    for _ in range(_MAX_HALVINGS):
        value = objective.values(*moved)
        bad = ~(value <= start + 1e-4 * length * decrease + slack)
        if not bool(bad.any()):
            break
        length = torch.where(bad, length / 2, length)
        moved = _At(here.params + length * step, here.predictions + length * change)
    return moved, value

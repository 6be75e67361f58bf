"""Minimisers of many objectives near a start, certified by their gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.func import grad, grad_and_value, jvp, vmap

# Conjugate gradients end at this share of the gradient, or after so many products:
# exact steps far from the solution are wasted.
_INNER = 0.1
_MOST_PRODUCTS = 30
# A step is halved so often at most; what it promises must be kept by this share.
_HALVINGS = 30
_KEPT = 1e-4
# Beside values of about one, differences below this are rounding: gradients decide.
_ROUNDING = 1e-10

Objective = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Minimisers:
    """Where gradients vanish, with their norms.

    Attributes:
        params: One point a row.
        gradient_norm: Largest absolute entry of its gradient.
        converged: Whether that is within the tolerance.
        iterations: Steps that were taken.
    """

    params: Float[Tensor, "rows params"]
    gradient_norm: Float[Tensor, " rows"]
    converged: Bool[Tensor, " rows"]
    iterations: Int64[Tensor, " rows"]


def minimisers(
    objective: Objective,
    start: Float[Tensor, "rows params"],
    arguments: Float[Tensor, "rows entries"],
    *,
    factor: Float[Tensor, "params params"],
    tolerance: float,
    most_iterations: int,
) -> Minimisers:
    """Minimise objective(theta, argument) for every row, down from the start.

    Newton steps by conjugate gradients, preconditioned by a positive definite matrix M
    near the curvature, are halved until the objective falls. Near a minimum, where its
    differences drown in rounding long before gradients do, g'M^-1 g must fall instead.

    Args:
        objective: A smooth function of the parameters and what tells the rows apart.
        start: Where to begin.
        arguments: What tells the rows apart.
        factor: Lower Cholesky factor of M.
        tolerance: Largest absolute gradient entry of a solution.
        most_iterations: Steps at most.

    Returns:
        The points that were reached, converged or not.
    """
    theta = start.clone()
    slopes = vmap(grad_and_value(objective))
    gradient, value = slopes(theta, arguments)
    iterations = torch.zeros(len(theta), dtype=torch.int64)
    for _ in range(most_iterations):
        active = (gradient.abs().amax(1) > tolerance).nonzero().flatten()
        if len(active) == 0:
            break
        here = _Place(theta[active], gradient[active], value[active])
        there, moved = _step(objective, here, arguments[active], factor)
        theta[active], gradient[active], value[active] = there
        iterations[active] += 1
        if not bool(moved.any()):
            break
    norm = gradient.abs().amax(1)
    return Minimisers(
        params=theta,
        gradient_norm=norm,
        converged=norm <= tolerance,
        iterations=iterations,
    )


class _Place(NamedTuple):
    theta: Tensor
    gradient: Tensor
    value: Tensor


def _step(
    objective: Objective, here: _Place, arguments: Tensor, factor: Tensor
) -> tuple[_Place, Tensor]:
    """Return where one step leads, and whether it leads anywhere."""
    slopes = vmap(grad_and_value(objective))

    def curve(at: Tensor, argument: Tensor, way: Tensor) -> Tensor:
        return jvp(lambda t: grad(objective)(t, argument), (at,), (way,))[1]

    direction = _newton_direction(
        lambda ways: vmap(curve)(here.theta, arguments, ways), here.gradient, factor
    )
    promised = -(here.gradient * direction).sum(1)
    tiny = promised < _ROUNDING * (1 + here.value.abs())
    merit = _merit(here.gradient, factor)
    size = torch.ones_like(merit)
    best = _Place(*(part.clone() for part in here))
    waiting = torch.ones(len(merit), dtype=torch.bool)
    for _ in range(_HALVINGS):
        rows = waiting.nonzero().flatten()
        trial = here.theta[rows] + size[rows, None] * direction[rows]
        gradient, value = slopes(trial, arguments[rows])
        kept = _KEPT * size[rows]
        fell = torch.where(
            tiny[rows],
            _merit(gradient, factor) <= (1 - kept) * merit[rows],
            value <= here.value[rows] - kept * promised[rows],
        )
        for part, new in zip(best, (trial, gradient, value), strict=True):
            part[rows[fell]] = new[fell]
        waiting[rows[fell]] = False
        if not bool(waiting.any()):
            break
        size[waiting] /= 2
    return best, ~waiting


def _newton_direction(
    curve: Callable[[Tensor], Tensor], gradient: Tensor, factor: Tensor
) -> Tensor:
    """Return about -H^-1 g of every row, or -M^-1 g where H curves down at once.

    A row stops where its residual is small beside its gradient, both measured by M, or
    at negative curvature.
    """

    def precondition(rows: Tensor) -> Tensor:
        return torch.cholesky_solve(rows.T, factor).T

    solution, residual = torch.zeros_like(gradient), -gradient
    way = preconditioned = precondition(residual)
    size = first = (residual * preconditioned).sum(1)
    for product in range(_MOST_PRODUCTS):
        curved = curve(way)
        bend = (way * curved).sum(1)
        going = (size > _INNER**2 * first) & (bend > 0)
        if product == 0:
            solution = torch.where(going[:, None], solution, way)
        if not bool(going.any()):
            break
        step = torch.where(going, size / torch.where(going, bend, 1.0), 0.0)[:, None]
        solution = solution + step * way
        residual = residual - step * curved
        preconditioned = precondition(residual)
        new = (residual * preconditioned).sum(1)
        way = preconditioned + (new / size.clamp_min(1e-300))[:, None] * way
        # A row that has stopped keeps a size that stops it again.
        size = torch.where(going, new, 0.0)
    return solution


def _merit(gradient: Tensor, factor: Tensor) -> Float[Tensor, " rows"]:
    """Return |L^-1 g| with M = L L'."""
    return torch.linalg.solve_triangular(factor, gradient.T, upper=False).norm(dim=0)

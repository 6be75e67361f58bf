"""Points where many gradients vanish, from a start near them and one curvature."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.func import jvp, vmap

# Conjugate gradients end at this share of the gradient, or after so many products:
# exact steps far from the solution are wasted.
_INNER = 0.1
_MOST_PRODUCTS = 30
# A step is halved so often at most; the merit must fall by a share of the step.
_HALVINGS = 20
_DECREASE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stationary:
    """Where the gradients vanish, with their norms.

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


def stationary_points(
    slope: Callable[[Tensor, Tensor], Tensor],
    start: Float[Tensor, "rows params"],
    arguments: Float[Tensor, "rows entries"],
    *,
    factor: Float[Tensor, "params params"],
    tolerance: float,
    most_iterations: int,
) -> Stationary:
    """Solve slope(theta, argument) = 0 for every row.

    Newton steps by conjugate gradients, preconditioned by a positive definite matrix M
    near the curvature, are halved until g'M^-1 g falls. Values are never compared: near
    a minimum their differences drown in rounding long before gradients do.

    Args:
        slope: The gradient at one point for one argument.
        start: Where to begin.
        arguments: What tells the rows apart.
        factor: Lower Cholesky factor of M.
        tolerance: Largest absolute gradient entry of a solution.
        most_iterations: Steps at most.

    Returns:
        The points that were reached, converged or not.
    """
    theta = start.clone()
    gradient = vmap(slope)(theta, arguments)
    iterations = torch.zeros(len(theta), dtype=torch.int64)
    for _ in range(most_iterations):
        active = (gradient.abs().amax(1) > tolerance).nonzero().flatten()
        if len(active) == 0:
            break
        moved, found, fell = _step(
            slope, theta[active], gradient[active], arguments[active], factor
        )
        theta[active], gradient[active] = moved, found
        iterations[active] += 1
        if not bool(fell.any()):
            break
    norm = gradient.abs().amax(1)
    return Stationary(
        params=theta,
        gradient_norm=norm,
        converged=norm <= tolerance,
        iterations=iterations,
    )


def _step(
    slope: Callable[[Tensor, Tensor], Tensor],
    theta: Tensor,
    gradient: Tensor,
    arguments: Tensor,
    factor: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return new points, their gradients, and whether the merit fell."""

    def curve(at: Tensor, argument: Tensor, way: Tensor) -> Tensor:
        return jvp(lambda here: slope(here, argument), (at,), (way,))[1]

    direction = _newton_direction(
        lambda ways: vmap(curve)(theta, arguments, ways), gradient, factor
    )
    merit = _merit(gradient, factor)
    size = torch.ones(len(theta), dtype=theta.dtype)
    best, found = theta.clone(), gradient.clone()
    waiting = torch.ones(len(theta), dtype=torch.bool)
    for _ in range(_HALVINGS):
        rows = waiting.nonzero().flatten()
        trial = theta[rows] + size[rows, None] * direction[rows]
        there = vmap(slope)(trial, arguments[rows])
        fell = _merit(there, factor) <= (1 - _DECREASE * size[rows]) * merit[rows]
        best[rows[fell]], found[rows[fell]] = trial[fell], there[fell]
        waiting[rows[fell]] = False
        if not bool(waiting.any()):
            break
        size[waiting] /= 2
    return best, found, ~waiting


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

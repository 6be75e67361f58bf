"""Conjugate gradients for many sides at once."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_at_least, check_open_unit
from dmtheory.influence.solvers.base import (
    Damped,
    Inverse,
    Prepared,
    Solution,
    measured,
)
from dmtheory.influence.solvers.preconditioners import Preconditioner

# Times that rounding is corrected by solving for what is left.
_CORRECTIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ConjugateGradients:
    """Solve to a stated residual by products with A alone.

    Each side has its own recursion; all take their products together, and a side that
    has converged takes no more.

    Attributes:
        tolerance: Largest |A x - b| / |b|, in (0, 1).
        preconditioner: Something near A that is cheap to invert, or none.
        max_iterations: Most products a side; by default twice the parameters.

    References:
        Hestenes and Stiefel 1952, section 3.
    """

    tolerance: float = 1e-8
    preconditioner: Preconditioner | None = None
    max_iterations: int | None = None

    def __post_init__(self) -> None:
        check_open_unit(self.tolerance, "tolerance")
        if self.max_iterations is not None:
            check_at_least(self.max_iterations, 1, "max_iterations")

    @property
    def name(self) -> str:
        """The solver's name in results."""
        by = self.preconditioner
        return "conjugate gradients" + ("" if by is None else f" with {by.name}")

    def prepare(self, system: Damped) -> Prepared:
        """Make the preconditioner."""
        by = self.preconditioner
        inverse = _identity if by is None else by.precondition(system)
        most = self.max_iterations or 2 * len(system.operator.params) + 10

        def solve(sides: Tensor) -> Solution:
            found, spent = torch.zeros_like(sides), 0
            for _ in range(1 + _CORRECTIONS):
                left = sides - system.product(found) if spent else sides
                aim = self.tolerance * sides.norm(dim=0)
                step, n = _descend(system, inverse, left, aim, most - spent)
                found, spent = found + step, spent + n
                solution = measured(system.product, sides, found, spent)
                if solution.worst <= self.tolerance:
                    return solution
                if spent >= most:
                    break
            raise ValueError(
                f"{self.name} must reach a residual of {self.tolerance:g}, got "
                f"{solution.worst:.1e} after {spent} iterations: raise damping, "
                "max_iterations or tolerance, or give a preconditioner such as "
                "Nystroem(rank=100)"
            )

        return solve


def _descend(
    system: Damped,
    inverse: Inverse,
    sides: Float[Tensor, "params sides"],
    aim: Float[Tensor, " sides"],
    most: int,
) -> tuple[Float[Tensor, "params sides"], int]:
    """Return steps toward the solution, and how many products they took.

    Raises:
        ValueError: If a direction of negative curvature turns up.
    """
    found = torch.zeros_like(sides)
    # Columns that have not converged; the arrays below hold these alone.
    active = (sides.norm(dim=0) > aim).nonzero()[:, 0]
    left = sides[:, active]
    near = inverse(left)
    direction, size = near, (left * near).sum(0)
    for n in range(most):
        if not len(active):
            return found, n
        image = system.product(direction)
        curve = (direction * image).sum(0)
        if bool((curve <= 0).any()):
            lowest = (curve / direction.square().sum(0)).min().item()
            raise system.negative(f"a direction has curvature {lowest:.2e} with it")
        step = size / curve
        found[:, active] += step * direction
        left = left - step * image
        near = inverse(left)
        new = (left * near).sum(0)
        going = left.norm(dim=0) > 0.5 * aim[active]
        direction = (near + (new / size) * direction)[:, going]
        left, size, active = left[:, going], new[going], active[going]
    return found, most


def _identity(sides: Tensor) -> Tensor:
    return sides

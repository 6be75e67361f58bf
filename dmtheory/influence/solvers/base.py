"""What a solver is: a strategy that prepares a system once and solves it for sides."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.influence.curvature.base import CurvatureOperator

Sides = Float[Tensor, "params sides"]
Inverse = Callable[[Tensor], Tensor]
# Residual that direct solvers promise.
_DIRECT = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Damped:
    """The system matrix A = C + damping I.

    Attributes:
        operator: C.
        damping: Added to C, in units of J, >= 0.
    """

    operator: CurvatureOperator
    damping: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.damping < math.inf:
            raise ValueError(f"damping must be finite and >= 0, got {self.damping}")

    @property
    def shifts(self) -> Float[Tensor, " params"]:
        """The diagonal of R'' + damping I, what A has beside the losses' curvature."""
        return self.operator.regulariser.shifts(self.damping)

    def product(self, vectors: Sides) -> Sides:
        """Return A times each column."""
        return self.operator.product(vectors) + self.damping * vectors

    def dense(self) -> Float[Tensor, "params params"]:
        """Return A."""
        matrix = self.operator.dense()
        matrix.diagonal().add_(self.damping)
        return matrix

    def negative(self, evidence: str) -> ValueError:
        """Return the error of a system that is not positive definite."""
        return ValueError(
            f"damping must make the {self.operator.name} positive definite, but "
            f"damping {self.damping:g} leaves negative or zero curvature ({evidence}): "
            "raise damping, or use the Gauss-Newton curvature"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """X with A X ~ B, and how well.

    Attributes:
        solution: X.
        residual: |A x - b| / |b| of each column; zero where b is.
        iterations: Rounds of products with A or with C that were spent, the largest
            over columns; 0 for a direct solver.
    """

    solution: Float[Tensor, "params sides"]
    residual: Float[Tensor, " sides"]
    iterations: int

    @property
    def worst(self) -> float:
        """The largest residual."""
        return self.residual.max().item()


Prepared = Callable[[Tensor], Solution]


@runtime_checkable
class Solver(Protocol):
    """A way of solving A X = B for many columns."""

    @property
    def name(self) -> str:
        """The solver's name in results."""
        ...

    def prepare(self, system: Damped) -> Prepared:
        """Return a function of B; what all sides share is computed once, here."""
        ...


def solve(
    operator: CurvatureOperator,
    sides: Sides,
    *,
    solver: Solver,
    damping: float = 0.0,
) -> Solution:
    """Solve (C + damping I) X = B.

    Args:
        operator: C.
        sides: B, a column a side.
        solver: The strategy.
        damping: In units of J, >= 0.

    Returns:
        X with its residual.

    Raises:
        ValueError: If the system is not positive definite, or the solver misses the
            tolerance that it promises.
    """
    return solver.prepare(Damped(operator=operator, damping=damping))(sides)


def measured(
    product: Inverse, sides: Sides, solution: Sides, iterations: int = 0
) -> Solution:
    """Return a solution with its residual, from one more product with A."""
    size = sides.norm(dim=0)
    left = (product(solution) - sides).norm(dim=0)
    return Solution(
        solution=solution,
        residual=torch.where(size > 0, left / size, left),
        iterations=iterations,
    )


def direct(found: Solution, name: str) -> Solution:
    """Return a direct solver's solution.

    Raises:
        ValueError: If the residual is above 1e-6: the system is singular to rounding.
    """
    # Written so that NaN fails too.
    if not found.worst <= _DIRECT:
        raise ValueError(
            f"{name} must solve to a residual of {_DIRECT:g}, got {found.worst:.1e}: "
            "the curvature is singular to rounding; raise damping"
        )
    return found

"""Woodbury's identity on the side of the examples."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dmtheory.influence.curvature.base import LowRank
from dmtheory.influence.solvers.base import (
    Damped,
    Prepared,
    Solution,
    direct,
    measured,
)


@dataclass(frozen=True, slots=True)
class Woodbury:
    """A^-1 = S^-1 - S^-1 U (I + U' S^-1 U)^-1 U' S^-1, S = R'' + damping I.

    U has a column an example and output: cheaper than a matrix of the parameters where
    those are more. With one step of refinement, since S^-1 alone may be far larger
    than A^-1.
    """

    @property
    def name(self) -> str:
        """The solver's name in results."""
        return "Woodbury"

    def prepare(self, system: Damped) -> Prepared:
        """Factor the inner matrix, of examples times outputs.

        Returns:
            A function of B.

        Raises:
            TypeError: If the curvature has no such factor U.
            ValueError: If S is no positive diagonal.
        """
        operator = system.operator
        if not isinstance(operator, LowRank):
            raise TypeError(
                "curvature must be a sum of outer products for Woodbury(), got the "
                f"{operator.name}: use GaussNewton(), Fisher() or EmpiricalFisher()"
            )
        roots = system.shifts.sqrt()[:, None]
        scaled = operator.factor() / roots
        inner = scaled.T @ scaled
        inner.diagonal().add_(1.0)
        factor, failed = torch.linalg.cholesky_ex(inner)
        if bool(failed):
            raise system.negative("I + U'U/damping is singular to rounding")

        def inverse(sides: Tensor) -> Tensor:
            first = sides / roots
            inside = torch.cholesky_solve(scaled.T @ first, factor)
            return (first - scaled @ inside) / roots

        def solve(sides: Tensor) -> Solution:
            found = inverse(sides)
            found = found + inverse(sides - system.product(found))
            return direct(measured(system.product, sides, found), self.name)

        return solve

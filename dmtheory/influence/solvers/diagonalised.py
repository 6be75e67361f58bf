"""The damped inverse of an operator whose eigenbasis is known."""

from dataclasses import dataclass

from torch import Tensor

from dmtheory.influence.curvature.base import Diagonalised
from dmtheory.influence.solvers.base import (
    Damped,
    Prepared,
    Solution,
    direct,
    measured,
)


@dataclass(frozen=True, slots=True)
class InEigenbasis:
    """Divide by the damped eigenvalues, layer by layer: K-FAC and EK-FAC alone."""

    @property
    def name(self) -> str:
        """The solver's name in results."""
        return "eigenbasis"

    def prepare(self, system: Damped) -> Prepared:
        """Check that the operator knows its eigenbasis.

        Returns:
            A function of B.

        Raises:
            TypeError: If it does not.
        """
        operator = system.operator
        if not isinstance(operator, Diagonalised):
            raise TypeError(
                f"curvature must be KFAC() or EKFAC() for InEigenbasis(), got the "
                f"{operator.name}: use Dense() or ConjugateGradients()"
            )

        def solve(sides: Tensor) -> Solution:
            found = operator.inverse_product(sides, system.damping)
            return direct(measured(system.product, sides, found), self.name)

        return solve

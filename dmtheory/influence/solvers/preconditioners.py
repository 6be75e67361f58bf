"""Preconditioners of conjugate gradients: cheap inverses of something near A."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from dmtheory.influence.solvers.base import Damped, Inverse


@runtime_checkable
class WithDiagonal(Protocol):
    """An operator that knows a positive diagonal near that of the losses' curvature."""

    def diagonal(self) -> Float[Tensor, " params"]:
        """Return it."""
        ...


@runtime_checkable
class Preconditioner(Protocol):
    """A way of making a positive definite matrix near A that is cheap to invert."""

    @property
    def name(self) -> str:
        """The preconditioner's name in results."""
        ...

    def precondition(self, system: Damped) -> Inverse:
        """Return the product with its inverse."""
        ...


@dataclass(frozen=True, slots=True)
class Diagonal:
    """Divide by the diagonal of A; of the exact Hessian by that of Gauss-Newton."""

    @property
    def name(self) -> str:
        """The preconditioner's name in results."""
        return "its diagonal"

    def precondition(self, system: Damped) -> Inverse:
        """Compute the diagonal.

        Returns:
            The product with its inverse.

        Raises:
            TypeError: If the operator has none at hand.
            ValueError: If a parameter has neither curvature nor damping.
        """
        operator = system.operator
        if not isinstance(operator, WithDiagonal):
            raise TypeError(
                f"curvature must know its diagonal for Diagonal(), got the "
                f"{operator.name}: leave the preconditioner out"
            )
        diagonal = (operator.diagonal() + system.shifts)[:, None]
        return lambda sides: sides / diagonal

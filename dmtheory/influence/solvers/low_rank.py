"""Systems that are diagonal plus low rank, inverted on the side of the rank."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.influence.solvers.base import Damped


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DiagonalPlusLowRank:
    """diag(shifts) + Q diag(values) Q'.

    Attributes:
        shifts: Positive.
        basis: Q; its columns need not be orthogonal.
        values: Of any sign.
        inner: LU factors of I + diag(values) Q' diag(shifts)^-1 Q.
    """

    shifts: Float[Tensor, " params"]
    basis: Float[Tensor, "params rank"]
    values: Float[Tensor, " rank"]
    inner: tuple[Tensor, Tensor]

    def inverse(
        self, sides: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "params sides"]:
        """Return the inverse times each column, by Woodbury's identity."""
        first = sides / self.shifts[:, None]
        seen = self.values[:, None] * (self.basis.T @ first)
        moved = torch.linalg.lu_solve(*self.inner, seen)
        return first - (self.basis @ moved) / self.shifts[:, None]


def plus_low_rank(
    shifts: Float[Tensor, " params"],
    basis: Float[Tensor, "params rank"],
    values: Float[Tensor, " rank"],
) -> DiagonalPlusLowRank:
    """Return the sum with its inner system factored."""
    gram = basis.T @ (basis / shifts[:, None])
    inner = values[:, None] * gram
    inner.diagonal().add_(1.0)
    return DiagonalPlusLowRank(
        shifts=shifts,
        basis=basis,
        values=values,
        inner=torch.linalg.lu_factor(inner),
    )


def check_positive(system: Damped, values: Float[Tensor, " rank"]) -> None:
    """Raise ValueError if a curvature found along a unit vector leaves A indefinite."""
    lowest = values.min().item() + system.shifts.min().item()
    if lowest <= 0:
        raise system.negative(f"a direction has curvature {lowest:.2e} with it")

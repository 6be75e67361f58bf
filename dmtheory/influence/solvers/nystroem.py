"""Randomised Nystroem approximation of the losses' curvature."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.influence.solvers.base import (
    Damped,
    Inverse,
    Prepared,
    Solution,
    measured,
)
from dmtheory.influence.solvers.low_rank import check_positive, plus_low_rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Nystroem:
    """D ~ (D O)(O' D O)^-1 (D O)' for a random O with orthonormal columns.

    D is the losses' curvature; the regulariser and the damping stay exact. As a solver
    approximate, with its residual; as a preconditioner exact in the end.

    Attributes:
        rank: Columns of O, one product with D each.
        seed: Seed of O.

    References:
        Frangella, Tropp and Udell 2021, Randomized Nystroem preconditioning,
        algorithm 2.1.
    """

    rank: int
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.rank, 1, "rank")

    @property
    def name(self) -> str:
        """The name in results."""
        return f"Nystroem of rank {self.rank}"

    def prepare(self, system: Damped) -> Prepared:
        """Take the products.

        Returns:
            A function of B.

        Raises:
            ValueError: If the curvature is negative somewhere, or nothing is added to
                it.
        """
        most = min(self.rank, len(system.shifts))
        basis, values = self._approximation(system)
        check_positive(system, values)
        inverse = plus_low_rank(system.shifts, basis, values).inverse

        def solve(sides: Tensor) -> Solution:
            return measured(system.product, sides, inverse(sides), most)

        return solve

    def precondition(self, system: Damped) -> Inverse:
        """Take the products; negative curvature is left to the iterations."""
        basis, values = self._approximation(system)
        return plus_low_rank(system.shifts, basis, values.clamp_min(0)).inverse

    def _approximation(
        self, system: Damped
    ) -> tuple[Float[Tensor, "params rank"], Float[Tensor, " rank"]]:
        """Return orthonormal vectors with the curvature along them."""
        shifts = system.shifts
        generator = torch.Generator().manual_seed(self.seed)
        shape = len(shifts), min(self.rank, len(shifts))
        drawn = torch.randn(shape, generator=generator, dtype=shifts.dtype)
        draws = torch.linalg.qr(drawn.to(shifts.device)).Q
        image = system.operator.data_product(draws)
        core = draws.T @ image
        core = 0.5 * (core + core.T)
        # Unlike the authors' Cholesky factor, eigenvalues show where D is indefinite.
        values, vectors = torch.linalg.eigh(core)
        kept = values.abs() > 1e-12 * values.abs().max()
        root = image @ (vectors[:, kept] / values[kept].abs().sqrt())
        signs = values[kept].sign()
        basis, upper = torch.linalg.qr(root)
        small = (upper * signs) @ upper.T
        along, turned = torch.linalg.eigh(0.5 * (small + small.T))
        return basis @ turned, along

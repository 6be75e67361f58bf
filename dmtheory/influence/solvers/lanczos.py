"""Low rank by Lanczos: the curvature's largest eigenvalues from one Krylov space."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.influence.solvers.base import Damped, Prepared, Solution, measured
from dmtheory.influence.solvers.low_rank import check_positive, plus_low_rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanczos:
    """D ~ Q diag(values) Q' of the largest Ritz values in size; R'' + damping exact.

    Arnoldi's iteration on a symmetric matrix. D is the losses' curvature. Directions
    outside of Q count as flat, so that the regulariser and the damping alone hold them;
    approximate, with its residual.

    Attributes:
        rank: Ritz pairs that are kept.
        steps: Dimension of the Krylov space, one product with D each; by default twice
            the rank, at most the parameters.
        seed: Seed of the first vector.

    References:
        Schioppa, Zablotskaia, Vilar and Sokolov 2022, Scaling up influence functions,
        section 3.
    """

    rank: int
    steps: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.rank, 1, "rank")
        if self.steps is not None:
            check_at_least(self.steps, self.rank, "steps")

    @property
    def name(self) -> str:
        """The name in results."""
        return f"Lanczos of rank {self.rank}"

    def prepare(self, system: Damped) -> Prepared:
        """Build the Krylov space.

        Returns:
            A function of B.

        Raises:
            ValueError: If the curvature is negative somewhere, or nothing is added to
                it.
        """
        shifts = system.shifts
        most = min(self.steps or 2 * self.rank, len(shifts))
        basis, matrix = self._krylov(system, most)
        values, vectors = torch.linalg.eigh(matrix)
        check_positive(system, values)
        kept = values.abs().argsort(descending=True)[: self.rank]
        inverse = plus_low_rank(shifts, basis @ vectors[:, kept], values[kept]).inverse
        spent = basis.shape[1]

        def solve(sides: Tensor) -> Solution:
            return measured(system.product, sides, inverse(sides), spent)

        return solve

    def _krylov(
        self, system: Damped, most: int
    ) -> tuple[Float[Tensor, "params steps"], Float[Tensor, "steps steps"]]:
        """Return an orthonormal basis V of a Krylov space and V' D V."""
        like = system.shifts
        generator = torch.Generator().manual_seed(self.seed)
        start = torch.randn(len(like), generator=generator, dtype=like.dtype)
        basis, images = like.new_zeros(len(like), 0), like.new_zeros(len(like), 0)
        direction = (start / start.norm()).to(like.device)
        for _ in range(most):
            basis = torch.cat([basis, direction[:, None]], 1)
            image = system.operator.data_product(direction[:, None])
            images = torch.cat([images, image], 1)
            # Twice against all: rounding would let found directions come again.
            rest = image - basis @ (basis.T @ image)
            rest = (rest - basis @ (basis.T @ rest))[:, 0]
            if rest.norm() <= 1e-12 * images.norm():
                break
            direction = rest / rest.norm()
        matrix = basis.T @ images
        return basis, 0.5 * (matrix + matrix.T)

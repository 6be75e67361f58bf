"""Weights lowered a little where a design removes examples."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.designs.leave_out import LeaveKOut
from validation.made_up.shared_seeds import SharedSeeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """Weights 1 - t of what a design removes, 1 of the rest; with its seeds.

    Attributes:
        design: The removals.
        by: How much is taken off a weight, t in (0, 1].
    """

    design: LeaveKOut | SharedSeeds
    by: float

    def __post_init__(self) -> None:
        if not 0 < self.by <= 1:
            raise ValueError(
                f"by must be in (0, 1], got {self.by}: 1 removes the examples"
            )

    @property
    def n_models(self) -> int:
        """As many as the design's."""
        return self.design.n_models

    @property
    def seed(self) -> int:
        """The experiment's seed."""
        return self.design.seed

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return 1 - t of removed examples, 1 of the others."""
        return 1 - self.by * (1 - self.design.weights(rows, n_train))

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the design's."""
        return self.design.seeds(rows)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return t^2 times that of the removals."""
        return self.by**2 * self.design.covariance(n_train)

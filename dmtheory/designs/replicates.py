"""Several training seeds for every weight vector of a design."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.designs.base import SubsetDesign
from dmtheory.designs.seeds import Purpose, model_seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicates:
    """Each row of a design, trained with R seeds: what a noise ceiling needs.

    Rows R·k, ..., R·k + R - 1 are the replicates of the design's row k. Their seeds
    are derived from that row's own seed, so rows that share it (a pair) still do,
    replicate by replicate.

    Attributes:
        design: The design that is replicated.
        n_replicates: R, at least 2.
    """

    design: SubsetDesign
    n_replicates: int

    def __post_init__(self) -> None:
        check_at_least(self.n_replicates, 2, "n_replicates")

    @property
    def n_models(self) -> int:
        """R trainings a row."""
        return self.n_replicates * self.design.n_models

    @property
    def seed(self) -> int:
        """The experiment's seed."""
        return self.design.seed

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the weight vector of each row's original."""
        return self.design.weights(rows // self.n_replicates, n_train)

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return a seed for each replicate, from its original's seed."""
        original = self.design.seeds(rows // self.n_replicates)
        fresh = original + rows % self.n_replicates
        return model_seeds(self.seed, fresh, Purpose.REPLICATE)

    def inclusion(self, n_train: int) -> float:
        """Return that of the design."""
        return self.design.inclusion(n_train)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return that of the design."""
        return self.design.covariance(n_train)

    def null_directions(self, n_train: int) -> Float[Tensor, "directions train"]:
        """Return those of the design."""
        return self.design.null_directions(n_train)

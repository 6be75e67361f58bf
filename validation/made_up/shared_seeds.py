"""Which training seeds subsets get: the same few for all, or each row its own."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.leave_out import LeaveKOut
from dmtheory.designs.pairs import ComplementaryPairs
from dmtheory.designs.seeds import model_seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSeeds:
    """Each subset with each seed: row R k + r is subset k with seed r.

    Attributes:
        subsets: The subsets.
        training_seeds: The R seeds, the same for every subset.
    """

    subsets: Bernoulli | LeaveKOut
    training_seeds: tuple[int, ...]

    @property
    def n_models(self) -> int:
        """R trainings a subset."""
        return len(self.training_seeds) * self.subsets.n_models

    @property
    def seed(self) -> int:
        """The experiment's seed."""
        return self.subsets.seed

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return each row's subset."""
        return self.subsets.weights(rows // len(self.training_seeds), n_train)

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return each row's seed."""
        seeds = torch.tensor(self.training_seeds, dtype=torch.int64)
        return seeds[rows % len(self.training_seeds)]

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return that of the subsets."""
        return self.subsets.covariance(n_train)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSeeds:
    """A design whose every row has a seed of its own, pairs too.

    Attributes:
        design: The weight vectors.
    """

    design: ComplementaryPairs

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
        """Return the design's."""
        return self.design.weights(rows, n_train)

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return one seed a row."""
        return model_seeds(self.seed, rows)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return the design's."""
        return self.design.covariance(n_train)

"""Pairs over subsets where the response jumps from nobody to somebody."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from dmtheory.designs.points import side
from dmtheory.designs.subset_pairs import SubsetPairs

# Rows are looked at in slices of about this many weights.
_SLICE_ENTRIES = 2**22


@dataclass(frozen=True, slots=True, kw_only=True)
class Rises:
    """Subset pairs; where nobody else is in, the sides are the player alone and nobody.

    Under `sum` the response of the player alone does not depend on its weight, but
    jumps at 0: there the bridge has the rise itself, F(e_i) - F(empty).

    Attributes:
        pairs: The pairs.
    """

    pairs: SubsetPairs

    @property
    def n_models(self) -> int:
        """As many as without rises."""
        return self.pairs.n_models

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return each row's weights; of a rise, 1 or 0 for the player's own."""
        found = self.pairs.weights(rows, n_train)
        ends = (found > 0) * (side(rows) > 0)[:, None]
        return torch.where(self.alone(rows, n_train)[:, None], ends.double(), found)

    def alone(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Bool[Tensor, " models"]:
        """Return where nobody but the player is in, the same for both of a pair.

        Others weigh 0 or 1, the player of a lower side less than 1.
        """
        size = max(1, _SLICE_ENTRIES // n_train)
        return torch.cat([
            ~(self.pairs.weights(part, n_train) == 1).any(1)
            for part in (rows | 1).split(size)
        ])

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return those of the pairs."""
        return self.pairs.seeds(rows)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return the covariance of a row drawn uniformly.

        A rise's own weight is 0 or 1, of variance 1/4 in place of 1/12 + h^2, with the
        same mean; all others are 0 there anyway.
        """
        pairs = self.pairs
        groups = torch.tensor(pairs.groups or range(n_train))
        n_players = int(groups.max()) + 1
        gain = torch.zeros(n_players, dtype=torch.float64)
        gain[list(pairs.coordinates)] = (1 / 4 - 1 / 12 - pairs.step**2) * (
            (1 - pairs.p) ** (n_players - 1) / len(pairs.coordinates)
        )
        return pairs.covariance(n_train) + torch.diag(gain)[groups][:, groups]

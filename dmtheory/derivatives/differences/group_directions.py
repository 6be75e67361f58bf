"""Random directions over groups of examples, around any point."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.designs.points import At, check_groups, point_rows, side
from dmtheory.designs.random_directions import RandomDirections


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDirections:
    """Pairs w + h z, w - h z whose directions have one entry a group.

    Attributes:
        at: The common weight of all examples, or one weight an example.
        law: Directions over groups, which need not know the point.
        groups: One group number an example, 0, ..., G - 1 with none empty.
    """

    at: At
    law: RandomDirections
    groups: tuple[int, ...]

    @property
    def n_models(self) -> int:
        """Two trainings a pair."""
        return self.law.n_models

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return w + h z in even rows and w - h z in odd ones."""
        check_groups(self.groups, n_train)
        directions = self.law.directions(rows // 2, max(self.groups) + 1)
        move = self.law.step * directions * side(rows)[:, None]
        return point_rows(self.at, n_train) + move[:, list(self.groups)]

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row's pair."""
        return self.law.seeds(rows)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return h^2 within groups and 0 between them, the covariance of one row."""
        check_groups(self.groups, n_train)
        groups = torch.tensor(self.groups)
        return self.law.step**2 * (groups[:, None] == groups).double()

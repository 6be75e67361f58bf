"""Small changes of one weight around a point, both sides sharing their seed."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least, check_positive
from dmtheory.designs.points import (
    At,
    check_coordinates,
    check_step,
    point_rows,
    random_coordinates,
    side,
)
from dmtheory.designs.random_directions import RandomDirections
from dmtheory.designs.seeds import check_seed, model_seeds
from dmtheory.designs.subset_pairs import SubsetPairs

__all__ = [
    "CoordinatePairs",
    "RandomDirections",
    "SubsetPairs",
    "check_coordinates",
    "random_coordinates",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatePairs:
    """Central pairs w + h e_i, w - h e_i around a point, for one step h or a ladder.

    Rows come in the order (seed, step, coordinate, side), so any prefix of whole seeds
    is itself a design. Both sides of a pair, all coordinates and all steps share the
    seed.

    Attributes:
        at: The common weight of all examples, or one weight an example.
        steps: Half the distance h between the two sides, one a rung.
        coordinates: Which examples are perturbed.
        n_seeds: Training seeds.
        seed: The experiment's seed.
    """

    at: At
    steps: tuple[float, ...]
    coordinates: tuple[int, ...]
    n_seeds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(len(self.steps), 1, "number of steps")
        for step in self.steps:
            check_positive(step, "step")
        check_at_least(self.n_seeds, 1, "n_seeds")
        check_at_least(len(self.coordinates), 1, "number of coordinates")
        check_seed(self.seed)
        if isinstance(self.at, float | int):
            check_positive(self.at, "at")
            check_step(max(self.steps), float(self.at))
        else:
            check_coordinates(self.coordinates, len(self.at))
            check_step(max(self.steps), min(self.at[i] for i in self.coordinates))

    @property
    def n_models(self) -> int:
        """Two trainings a coordinate, step and seed."""
        return 2 * len(self.coordinates) * len(self.steps) * self.n_seeds

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the point with one coordinate moved up (even rows) or down."""
        check_coordinates(self.coordinates, n_train)
        weights = point_rows(self.at, n_train).repeat(len(rows), 1)
        n = len(self.coordinates)
        coordinate = torch.tensor(self.coordinates)[(rows // 2) % n]
        steps = torch.tensor(self.steps, dtype=torch.float64)
        step = steps[(rows // (2 * n)) % len(self.steps)]
        weights[torch.arange(len(rows)), coordinate] += step * side(rows)
        return weights

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row, shared by all but other seeds' rows."""
        return model_seeds(
            self.seed, rows // (2 * len(self.coordinates) * len(self.steps))
        )

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return, on each coordinate, the mean of h^2 over how many there are."""
        check_coordinates(self.coordinates, n_train)
        square = sum(step**2 for step in self.steps) / len(self.steps)
        diagonal = torch.zeros(n_train, dtype=torch.float64)
        diagonal[list(self.coordinates)] = square / len(self.coordinates)
        return torch.diag(diagonal)

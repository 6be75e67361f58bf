"""Retraining without one example, or without a few."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.designs.fixed_size import FixedSize
from dmtheory.designs.perturbations import check_coordinates
from dmtheory.designs.seeds import check_seed, model_seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOneOut:
    """All examples, then all but one, for each coordinate; sharing the seed.

    Rows come in the order (seed, [full, without coordinate 1, ...]).

    Attributes:
        coordinates: Which examples are left out.
        n_seeds: Training seeds.
        seed: The experiment's seed.
    """

    coordinates: tuple[int, ...]
    n_seeds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.n_seeds, 1, "n_seeds")
        check_at_least(len(self.coordinates), 1, "number of coordinates")
        check_seed(self.seed)

    @property
    def n_models(self) -> int:
        """One training a coordinate and seed, and one more a seed."""
        return (len(self.coordinates) + 1) * self.n_seeds

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return 1 in the first row of a seed, 1 - e_i in the others."""
        check_coordinates(self.coordinates, n_train)
        weights = torch.ones(len(rows), n_train, dtype=torch.float64)
        place = rows % (len(self.coordinates) + 1)
        left_out = place > 0
        coordinate = torch.tensor(self.coordinates)[place[left_out] - 1]
        weights[left_out.nonzero().squeeze(1), coordinate] = 0.0
        return weights

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row, shared by all coordinates."""
        return model_seeds(self.seed, rows // (len(self.coordinates) + 1))

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return diag(q) - q q' with q = 1/(rows a seed) at each coordinate, else 0."""
        check_coordinates(self.coordinates, n_train)
        absent = torch.zeros(n_train, dtype=torch.float64)
        absent[list(self.coordinates)] = 1.0 / (len(self.coordinates) + 1)
        return torch.diag(absent) - absent[:, None] * absent


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveKOut:
    """All examples but k, drawn uniformly: small removals, each with a fresh seed.

    Attributes:
        k: How many are left out, in [1, N).
        n_models: How many removals.
        seed: The experiment's seed.
    """

    k: int
    n_models: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.k, 1, "k")
        check_at_least(self.n_models, 1, "n_models")
        check_seed(self.seed)

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return 1 minus the indicator of the k examples left out."""
        return 1 - self._removed().weights(rows, n_train)

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return a fresh training seed for each row."""
        return model_seeds(self.seed, rows)

    def inclusion(self, n_train: int) -> float:
        """Return 1 - k/N."""
        return 1 - self.k / n_train

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return that of the removed subset."""
        return self._removed().covariance(n_train)

    def null_directions(self, n_train: int) -> Float[Tensor, "directions train"]:
        """Return 1/sqrt(N): the total is fixed."""
        return self._removed().null_directions(n_train)

    def _removed(self) -> FixedSize:
        return FixedSize(size=self.k, n_models=self.n_models, seed=self.seed)

"""Small changes of one coordinate around a point, both sides sharing their seed."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least, check_open_unit, check_positive
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.seeds import Purpose, check_seed, model_seeds, permutation

# Both nodes of the two-point Gauss-Legendre rule on [0, 1]; their weights are equal.
_NODES = (0.5 - 0.5 / math.sqrt(3.0), 0.5 + 0.5 / math.sqrt(3.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatePairs:
    """Central pairs w + h e_i, w - h e_i around w = level * 1.

    Rows come in the order (seed, coordinate, side), so any prefix of whole seeds is
    itself a design. Both sides of a pair, and all coordinates, share the seed.

    Attributes:
        level: The common weight of all examples.
        step: Half the distance h between the two sides.
        coordinates: Which examples are perturbed.
        n_seeds: Training seeds.
        seed: The experiment's seed.
    """

    level: float
    step: float
    coordinates: tuple[int, ...]
    n_seeds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self.level, "level")
        check_positive(self.step, "step")
        check_at_least(self.n_seeds, 1, "n_seeds")
        check_at_least(len(self.coordinates), 1, "number of coordinates")
        check_seed(self.seed)
        if self.step > self.level:
            raise ValueError(
                f"step must not exceed level {self.level} (weights stay >= 0), got "
                f"{self.step}"
            )

    @property
    def n_models(self) -> int:
        """Two trainings a coordinate and seed."""
        return 2 * len(self.coordinates) * self.n_seeds

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return level * 1 with one coordinate moved up (even rows) or down."""
        check_coordinates(self.coordinates, n_train)
        weights = torch.full((len(rows), n_train), self.level, dtype=torch.float64)
        coordinate = torch.tensor(self.coordinates)[(rows // 2) % len(self.coordinates)]
        weights[torch.arange(len(rows)), coordinate] += self.step * _side(rows)
        return weights

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row, shared by all coordinates and both sides."""
        return model_seeds(self.seed, rows // (2 * len(self.coordinates)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetPairs:
    """Central pairs along each example's own weight, the others a random subset.

    A unit has two opposite subsets S ~ Bernoulli(p) for each coordinate i, each with
    its own training seed. The pair is 1_{S-i} + (t +- h) e_i, with t at the first node
    of the two-point Gauss-Legendre rule on [0, 1] for the first subset and at the
    second node for its opposite, which cancels what is odd in S. The mean difference
    quotient is then the subset- and path-averaged derivative
    E_S int_0^1 g_i(1_{S-i} + t e_i) dt, up to O(h^2) and the rule's error of
    (1/4320) d^5F/dw_i^5. Coordinates share no subset, so that their errors average
    out in a slope over coordinates.

    Attributes:
        p: Inclusion probability of the other examples.
        step: Half the distance h between the two sides.
        coordinates: Which examples' weights are moved.
        n_units: Independent units of two subsets each.
        seed: The experiment's seed.
    """

    p: float
    step: float
    coordinates: tuple[int, ...]
    n_units: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_open_unit(self.p, "p")
        check_positive(self.step, "step")
        if self.step > _NODES[0]:
            raise ValueError(
                f"step must not exceed {_NODES[0]:.3f} (weights stay >= 0), got "
                f"{self.step}"
            )
        check_at_least(self.n_units, 1, "n_units")
        check_at_least(len(self.coordinates), 1, "number of coordinates")
        check_seed(self.seed)

    @property
    def n_models(self) -> int:
        """Four trainings a coordinate and unit."""
        return 4 * len(self.coordinates) * self.n_units

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return each row's subset with one coordinate at its node, moved by +-h."""
        check_coordinates(self.coordinates, n_train)
        n = len(self.coordinates)
        unit, second, place = rows // (4 * n), (rows // (2 * n)) % 2, (rows // 2) % n
        law, subset = Bernoulli(p=self.p, seed=self.seed), unit * n + place
        masks = torch.where(
            (second == 0)[:, None],
            law.weights(subset, n_train),
            law.antithetic_weights(subset, n_train),
        )
        moved = torch.tensor(_NODES, dtype=torch.float64)[second]
        coordinate = torch.tensor(self.coordinates)[place]
        masks[torch.arange(len(rows)), coordinate] = moved + self.step * _side(rows)
        return masks

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row's subset, shared by both sides of its pair."""
        return model_seeds(self.seed, rows // 2)


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


def random_coordinates(n_train: int, n: int, *, seed: int) -> tuple[int, ...]:
    """Draw n of the n_train coordinates uniformly without replacement, sorted.

    Returns:
        Their numbers; smaller draws of one seed are contained in larger ones.

    Raises:
        ValueError: If n is not in [1, n_train].
    """
    if not 1 <= n <= n_train:
        raise ValueError(f"n must lie in [1, {n_train}], got {n}")
    order = permutation(seed, Purpose.COORDINATE, 0, torch.arange(n_train))
    return tuple(sorted(order[:n].tolist()))


def check_coordinates(coordinates: tuple[int, ...], n_train: int) -> None:
    """Raise ValueError unless coordinates are distinct and in [0, n_train)."""
    wrong = [i for i in coordinates if not 0 <= i < n_train]
    if wrong:
        raise ValueError(f"coordinates must lie in [0, {n_train}), got {wrong[0]}")
    if len(set(coordinates)) != len(coordinates):
        raise ValueError("coordinates must be distinct")


def _side(rows: Int64[Tensor, " models"]) -> Float[Tensor, " models"]:
    """Return +1 for even rows and -1 for odd ones."""
    return 1.0 - 2.0 * (rows % 2)

"""Small changes around a point, both sides sharing their seed."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import (
    check_at_least,
    check_choice,
    check_open_unit,
    check_positive,
)
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.seeds import (
    Purpose,
    check_seed,
    model_seeds,
    permutation,
    random_words,
)

# A standard normal cut off at +-_CUT has a standard deviation of _CUT/4, so that its
# entries, scaled to unit variance, reach 4 and no farther.
_CUT = 3.9978405908064003
# Chebyshev's four nodes on [0, 1], as two mirrored pairs: their weights are equal and
# the rule is exact to degree 5.
_REACHES = tuple(math.sqrt((1 + s * 2 / math.sqrt(5)) / 3) / 2 for s in (1, -1))
_NODES = tuple((0.5 - reach, 0.5 + reach) for reach in _REACHES)
_LEAST_NODE = _NODES[0][0]


Point = float | tuple[float, ...]


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

    at: Point
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
            _check_step(max(self.steps), float(self.at))
        else:
            check_coordinates(self.coordinates, len(self.at))
            _check_step(max(self.steps), min(self.at[i] for i in self.coordinates))

    @property
    def n_models(self) -> int:
        """Two trainings a coordinate, step and seed."""
        return 2 * len(self.coordinates) * len(self.steps) * self.n_seeds

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the point with one coordinate moved up (even rows) or down."""
        check_coordinates(self.coordinates, n_train)
        weights = _point(self.at, n_train).repeat(len(rows), 1)
        n = len(self.coordinates)
        coordinate = torch.tensor(self.coordinates)[(rows // 2) % n]
        steps = torch.tensor(self.steps, dtype=torch.float64)
        step = steps[(rows // (2 * n)) % len(self.steps)]
        weights[torch.arange(len(rows)), coordinate] += step * _side(rows)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomDirections:
    """Pairs w + h z, w - h z along random directions, all coordinates at once.

    Rows 2k and 2k + 1 are pair k and share a fresh seed. Entries of z have mean 0 and
    variance 1: "rademacher" is +-1, "gaussian" is normal, cut off at four standard
    deviations, "sparse" is +-1/sqrt(density) with probability
    `density` and else 0. Around w = 1/2 with h = 1/2 Rademacher directions are
    complementary pairs.

    Attributes:
        at: The common weight of all examples, or one weight an example.
        step: h.
        law: "rademacher", "gaussian" or "sparse".
        density: Share of non-zero entries of a sparse direction.
        n_pairs: How many pairs.
        seed: The experiment's seed.
    """

    at: Point
    step: float
    law: str = "rademacher"
    density: float = 0.1
    n_pairs: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self.step, "step")
        check_choice(self.law, ("rademacher", "gaussian", "sparse"), "law")
        if self.law == "sparse":
            check_open_unit(self.density, "density")
        check_at_least(self.n_pairs, 1, "n_pairs")
        check_seed(self.seed)
        least = self.at if isinstance(self.at, float | int) else min(self.at)
        _check_step(self.step * self._largest, float(least))

    @property
    def _largest(self) -> float:
        """The largest absolute entry of a direction."""
        sizes = {
            "rademacher": 1.0,
            "gaussian": 4.0,
            "sparse": self.density**-0.5,
        }
        return sizes[self.law]

    @property
    def n_models(self) -> int:
        """Two trainings a pair."""
        return 2 * self.n_pairs

    def directions(
        self, pairs: Int64[Tensor, " pairs"], n_train: int
    ) -> Float[Tensor, "pairs train"]:
        """Return z of each pair."""
        ids = torch.arange(n_train)
        words = random_words(self.seed, Purpose.DIRECTION, pairs, ids)
        sign = 1.0 - 2.0 * (words & 1).double()
        if self.law == "rademacher":
            return sign
        if self.law == "sparse":
            kept = (words >> 1) < round(self.density * 2**31)
            return sign * kept * self.density**-0.5
        # The quantile function of the cut normal law, scaled to unit variance.
        low, high = torch.special.ndtr(torch.tensor([-_CUT, _CUT], dtype=torch.float64))
        shares = low + (high - low) * (words.double() + 0.5) / 2**32
        return torch.special.ndtri(shares) * 4.0 / _CUT

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return w + h z in even rows and w - h z in odd ones."""
        move = self.step * self.directions(rows // 2, n_train)
        return _point(self.at, n_train) + move * _side(rows)[:, None]

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row's pair."""
        return model_seeds(self.seed, rows // 2)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return h^2 I, the covariance of one row."""
        return self.step**2 * torch.eye(n_train, dtype=torch.float64)

    def cross_covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return -h^2 I, the covariance of a row with the other of its pair."""
        return -self.covariance(n_train)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetPairs:
    """Central pairs along each example's own weight, the others a random subset.

    A unit has two opposite subsets S ~ Bernoulli(p) for each coordinate i, each with
    its own training seed. The pair is 1_{S-i} + (t +- h) e_i, with t at one node of a
    mirrored pair of nodes for the first subset and at the other for its opposite, which
    cancels what is odd in S and in t; which of the two mirrored pairs of Chebyshev's
    four-point rule is drawn for each unit and coordinate. The mean difference quotient
    is then the subset- and path-averaged derivative
    E_S int_0^1 g_i(1_{S-i} + t e_i) dt, up to O(h^2) and the rule's error, of sixth
    order. Coordinates share no subset, so that their errors average out in a slope over
    coordinates.

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
        if self.step > _LEAST_NODE:
            raise ValueError(
                f"step must not exceed {_LEAST_NODE:.3f} (weights stay >= 0), got "
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
        word = random_words(
            self.seed, Purpose.OWN_WEIGHT, subset, torch.zeros(1, dtype=torch.int64)
        )
        nodes = torch.tensor(_NODES, dtype=torch.float64)
        moved = nodes[word[:, 0] & 1, second]
        coordinate = torch.tensor(self.coordinates)[place]
        masks[torch.arange(len(rows)), coordinate] = moved + self.step * _side(rows)
        return masks

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row's subset, shared by both sides of its pair."""
        return model_seeds(self.seed, rows // 2)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return the covariance of a row drawn uniformly.

        The moved coordinate i (one of n, each with probability 1/n) is at its node
        +- h, mean 1/2; every other example is Bernoulli(p).
        """
        check_coordinates(self.coordinates, n_train)
        share = torch.zeros(n_train, dtype=torch.float64)
        share[list(self.coordinates)] = 1.0 / len(self.coordinates)
        # Given which coordinate moves, entries are independent; that one's mean is
        # off by 1/2 - p.
        shift = (0.5 - self.p) * share
        nodes = sum((t - 0.5) ** 2 for pair in _NODES for t in pair) / 4 + self.step**2
        within = (1 - share) * self.p * (1 - self.p) + share * nodes
        between = torch.diag((0.5 - self.p) ** 2 * share) - shift[:, None] * shift
        return torch.diag(within) + between


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
    check_at_least(len(coordinates), 1, "number of coordinates")
    wrong = [i for i in coordinates if not 0 <= i < n_train]
    if wrong:
        raise ValueError(f"coordinates must lie in [0, {n_train}), got {wrong[0]}")
    if len(set(coordinates)) != len(coordinates):
        raise ValueError("coordinates must be distinct")


def _side(rows: Int64[Tensor, " models"]) -> Float[Tensor, " models"]:
    """Return +1 for even rows and -1 for odd ones."""
    return 1.0 - 2.0 * (rows % 2).double()


def _point(at: Point, n_train: int) -> Float[Tensor, "1 train"]:
    if isinstance(at, float | int):
        return torch.full((1, n_train), float(at), dtype=torch.float64)
    if len(at) != n_train:
        raise ValueError(
            f"at must have one weight an example ({n_train}), got {len(at)}"
        )
    return torch.tensor(at, dtype=torch.float64)[None]


def _check_step(step: float, least: float) -> None:
    if step > least:
        raise ValueError(
            f"step must keep weights >= 0: the largest move is {step:g} where the "
            f"weight is {least:g}"
        )

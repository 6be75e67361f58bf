"""Central pairs along one weight, the others a random subset."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least, check_open_unit, check_positive
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.points import check_coordinates, check_groups, side
from dmtheory.designs.seeds import Purpose, check_seed, model_seeds, random_words

# Chebyshev's four nodes on [0, 1], as two mirrored pairs: their weights are equal and
# the rule is exact to degree 5.
_REACHES = tuple(math.sqrt((1 + s * 2 / math.sqrt(5)) / 3) / 2 for s in (1, -1))
_NODES = tuple((0.5 - reach, 0.5 + reach) for reach in _REACHES)
_LEAST_NODE = _NODES[0][0]


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
        coordinates: Which examples' weights are moved; which groups' where there are
            groups.
        groups: The group of every example where groups are the players; empty where
            examples are.
        n_units: Independent units of two subsets each.
        seed: The experiment's seed.
    """

    p: float
    step: float
    coordinates: tuple[int, ...]
    groups: tuple[int, ...] = ()
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
        if self.groups:
            players = replace(self, groups=()).weights(rows, max(self.groups) + 1)
            return players[:, self._group_of(n_train)]
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
        masks[torch.arange(len(rows)), coordinate] = moved + self.step * side(rows)
        return masks

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row's subset, shared by both sides of its pair."""
        return model_seeds(self.seed, rows // 2)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return the covariance of a row drawn uniformly.

        The moved coordinate i (one of n, each with probability 1/n) is at its node
        +- h, mean 1/2; every other example is Bernoulli(p).
        """
        if self.groups:
            players = replace(self, groups=()).covariance(max(self.groups) + 1)
            group = self._group_of(n_train)
            return players[group[:, None], group]
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

    def _group_of(self, n_train: int) -> Int64[Tensor, " train"]:
        check_groups(self.groups, n_train)
        return torch.tensor(self.groups)

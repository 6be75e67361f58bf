"""Rows that come in blocks: opposite or disjoint subsets that share a training seed."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least, check_open_unit
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.seeds import Purpose, check_seed, model_seeds, random_words


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplementaryPairs:
    """Pairs of a uniformly random subset and its complement, sharing a seed; p = 1/2.

    Rows 2k and 2k + 1 are pair k. Each pair has a fresh seed. In the difference of a
    pair even-degree terms of F and the common part of the seed's effect cancel.

    Attributes:
        n_pairs: How many pairs.
        seed: The experiment's seed.
    """

    n_pairs: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.n_pairs, 1, "n_pairs")
        check_seed(self.seed)

    @property
    def n_models(self) -> int:
        """Two trainings a pair."""
        return 2 * self.n_pairs

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the pair's subset in even rows and its complement in odd ones."""
        return _antithetic(Bernoulli(p=0.5, seed=self.seed), rows, n_train)

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row's pair."""
        return model_seeds(self.seed, rows // 2)

    def inclusion(self, n_train: int) -> float:
        """Every example is in with probability 1/2."""
        return 0.5

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return I/4, the covariance of one row."""
        return 0.25 * torch.eye(n_train, dtype=torch.float64)

    def cross_covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return -I/4, the covariance of a row with the other of its pair."""
        return -self.covariance(n_train)

    def null_directions(self, n_train: int) -> Float[Tensor, "directions train"]:
        """Return nothing: every direction varies."""
        return torch.zeros(0, n_train, dtype=torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class AntitheticPairs:
    """Pairs of Bernoulli(p) subsets [u < p] and [1 - u < p], sharing a seed; any p.

    At p = 1/2 they are complementary pairs.

    Attributes:
        p: Inclusion probability in (0, 1).
        n_pairs: How many pairs.
        seed: The experiment's seed.
    """

    p: float
    n_pairs: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_open_unit(self.p, "p")
        check_at_least(self.n_pairs, 1, "n_pairs")
        check_seed(self.seed)

    @property
    def n_models(self) -> int:
        """Two trainings a pair."""
        return 2 * self.n_pairs

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the pair's subset in even rows and its opposite in odd ones."""
        return _antithetic(Bernoulli(p=self.p, seed=self.seed), rows, n_train)

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row's pair."""
        return model_seeds(self.seed, rows // 2)

    def inclusion(self, n_train: int) -> float:
        """Return p."""
        return self.p

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return p(1-p) I, the covariance of one row."""
        return Bernoulli(p=self.p).covariance(n_train)

    def cross_covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return (max(0, 2p - 1) - p^2) I, between the two rows of a pair."""
        both = max(0.0, 2 * self.p - 1) - self.p**2
        return both * torch.eye(n_train, dtype=torch.float64)

    def null_directions(self, n_train: int) -> Float[Tensor, "directions train"]:
        """Return nothing: every direction varies."""
        return torch.zeros(0, n_train, dtype=torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisjointBlocks:
    """Random partitions into parts, one row a part, sharing a seed; p = 1/parts.

    Each example falls into one part of a partition, uniformly and independently, so a
    single row is Bernoulli(1/parts). Rows parts·k, ..., parts·k + parts - 1 are
    partition k.

    Attributes:
        parts: Parts of a partition, at least 2.
        n_blocks: How many partitions.
        seed: The experiment's seed.
    """

    parts: int
    n_blocks: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.parts, 2, "parts")
        check_at_least(self.n_blocks, 1, "n_blocks")
        check_seed(self.seed)

    @property
    def n_models(self) -> int:
        """One training a part."""
        return self.parts * self.n_blocks

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the examples of each row's part."""
        words = random_words(
            self.seed, Purpose.MASK, rows // self.parts, torch.arange(n_train)
        )
        # The multiply-shift map of a word onto the parts is off by at most 2^-32.
        part = (words * self.parts) >> 32
        return (part == (rows % self.parts)[:, None]).double()

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row's partition."""
        return model_seeds(self.seed, rows // self.parts)

    def inclusion(self, n_train: int) -> float:
        """Return 1/parts."""
        return 1.0 / self.parts

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return p(1-p) I, the covariance of one row."""
        return Bernoulli(p=1.0 / self.parts).covariance(n_train)

    def cross_covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return -p^2 I, the covariance of a row with another of its partition."""
        return -torch.eye(n_train, dtype=torch.float64) / self.parts**2

    def null_directions(self, n_train: int) -> Float[Tensor, "directions train"]:
        """Return nothing: every direction varies."""
        return torch.zeros(0, n_train, dtype=torch.float64)


def _antithetic(law: Bernoulli, rows: Tensor, n_train: int) -> Tensor:
    first = law.weights(rows // 2, n_train)
    second = law.antithetic_weights(rows // 2, n_train)
    return torch.where((rows % 2 == 0)[:, None], first, second)

"""Random subsets: each example is in with probability p, independently."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least, check_open_unit
from dmtheory.designs.seeds import Purpose, check_seed, model_seeds, random_words


@dataclass(frozen=True, slots=True, kw_only=True)
class Bernoulli:
    """Subsets S with P(i in S) = p, independent over examples and rows.

    Attributes:
        p: Inclusion probability in (0, 1), realised as round(p 2^32) / 2^32.
        n_models: How many subsets.
        seed: The experiment's seed.
    """

    p: float
    n_models: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_open_unit(self.p, "p")
        check_at_least(self.n_models, 1, "n_models")
        check_seed(self.seed)

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the indicator vector of each row's subset."""
        return (self._words(rows, n_train) < self._threshold).double()

    def antithetic_weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return subsets of the same law, each the opposite of the row's own.

        [1 - u < p] where the row has [u < p]: the complement at p = 1/2, otherwise
        with covariance max(0, 2p - 1) - p^2 between the two, an example.
        """
        words = 2**32 - 1 - self._words(rows, n_train)
        return (words < self._threshold).double()

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return a fresh training seed for each row."""
        return model_seeds(self.seed, rows)

    def inclusion(self, n_train: int) -> float:
        """Return p."""
        return self.p

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return p(1-p) I."""
        return self.p * (1 - self.p) * torch.eye(n_train, dtype=torch.float64)

    def null_directions(self, n_train: int) -> Float[Tensor, "directions train"]:
        """Return nothing: every direction varies."""
        return torch.zeros(0, n_train, dtype=torch.float64)

    @property
    def _threshold(self) -> int:
        return round(self.p * 2**32)

    def _words(self, rows: Tensor, n_train: int) -> Tensor:
        return random_words(self.seed, Purpose.MASK, rows, torch.arange(n_train))

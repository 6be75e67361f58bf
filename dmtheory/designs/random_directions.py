"""Pairs of opposite steps along random directions, sharing their seed."""

from dataclasses import dataclass
from math import erf, exp, pi, sqrt

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import (
    check_at_least,
    check_choice,
    check_open_unit,
    check_positive,
)
from dmtheory.designs.points import At, check_step, point_rows, side
from dmtheory.designs.seeds import Purpose, check_seed, model_seeds, random_words

# A standard normal cut off at +-_CUT has a standard deviation of _CUT/4, so that its
# entries, scaled to unit variance, reach 4 and no farther.
_CUT = 3.9978405908064003


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

    at: At
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
        check_step(self.step * self._largest, float(least))

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
    def kurtosis(self) -> float:
        """The fourth moment of an entry, whose variance is 1."""
        if self.law == "gaussian":
            return _cut_normal_kurtosis()
        return 1.0 if self.law == "rademacher" else 1 / self.density

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
        return point_rows(self.at, n_train) + move * side(rows)[:, None]

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row's pair."""
        return model_seeds(self.seed, rows // 2)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return h^2 I, the covariance of one row."""
        return self.step**2 * torch.eye(n_train, dtype=torch.float64)

    def cross_covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return -h^2 I, the covariance of a row with the other of its pair."""
        return -self.covariance(n_train)


def _cut_normal_kurtosis() -> float:
    """Return E x^4/(E x^2)^2 of a standard normal x cut off at +-_CUT."""
    density, inside = exp(-(_CUT**2) / 2) / sqrt(2 * pi), erf(_CUT / sqrt(2))
    fourth = 3 - 2 * density * (_CUT**3 + 3 * _CUT) / inside
    return fourth / (_CUT / 4) ** 4

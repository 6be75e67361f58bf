"""Random subsets of one size, over all examples or within strata."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least, check_open_unit
from dmtheory.designs.seeds import Purpose, check_seed, model_seeds, random_words


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedSize:
    """Uniformly random subsets of exactly `size` examples.

    Indicators sum to the size, so a datamodel is identified up to a constant only.

    Attributes:
        size: k, in [1, N).
        n_models: How many subsets.
        seed: The experiment's seed.
    """

    size: int
    n_models: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.size, 1, "size")
        check_at_least(self.n_models, 1, "n_models")
        check_seed(self.seed)

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the examples with the `size` smallest keys of each row."""
        _check_size(self.size, n_train, "size")
        return _smallest(_keys(self.seed, rows, n_train), self.size)

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return a fresh training seed for each row."""
        return model_seeds(self.seed, rows)

    def inclusion(self, n_train: int) -> float:
        """Return k/N."""
        return self.size / n_train

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return a(I - 11'/N) with a = k(N-k)/(N(N-1))."""
        _check_size(self.size, n_train, "size")
        return _size_covariance(self.size, n_train)

    def null_directions(self, n_train: int) -> Float[Tensor, "directions train"]:
        """Return 1/sqrt(N): the total is fixed."""
        return torch.full((1, n_train), n_train**-0.5, dtype=torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratified:
    """Random subsets with the same share of every stratum, such as a class.

    Within stratum s of n_s examples, round(fraction n_s) are drawn uniformly.

    Attributes:
        strata: One stratum number an example.
        fraction: Share of each stratum, in (0, 1).
        n_models: How many subsets.
        seed: The experiment's seed.
    """

    strata: tuple[int, ...]
    fraction: float
    n_models: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(len(self.strata), 1, "number of strata entries")
        check_open_unit(self.fraction, "fraction")
        check_at_least(self.n_models, 1, "n_models")
        check_seed(self.seed)
        for members in self._members():
            _check_size(
                round(self.fraction * len(members)), len(members), "a stratum's size"
            )

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the examples with the smallest keys of each row and stratum."""
        self._check_length(n_train)
        keys = _keys(self.seed, rows, n_train)
        weights = torch.zeros(len(rows), n_train, dtype=torch.float64)
        for members in self._members():
            size = round(self.fraction * len(members))
            weights[:, members] = _smallest(keys[:, members], size)
        return weights

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return a fresh training seed for each row."""
        return model_seeds(self.seed, rows)

    def inclusion(self, n_train: int) -> float:
        """Return the share of all examples that a row holds."""
        sizes = [round(self.fraction * len(members)) for members in self._members()]
        return sum(sizes) / n_train

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return the fixed-size covariance within each stratum, 0 between strata."""
        self._check_length(n_train)
        covariance = torch.zeros(n_train, n_train, dtype=torch.float64)
        for members in self._members():
            size = round(self.fraction * len(members))
            within = _size_covariance(size, len(members))
            covariance[members[:, None], members] = within
        return covariance

    def null_directions(self, n_train: int) -> Float[Tensor, "directions train"]:
        """Return each stratum's normalised indicator: every total is fixed."""
        self._check_length(n_train)
        members = self._members()
        basis = torch.zeros(len(members), n_train, dtype=torch.float64)
        for row, chosen in enumerate(members):
            basis[row, chosen] = len(chosen) ** -0.5
        return basis

    def _members(self) -> list[Tensor]:
        strata = torch.tensor(self.strata)
        return [(strata == s).nonzero().squeeze(1) for s in strata.unique()]

    def _check_length(self, n_train: int) -> None:
        if len(self.strata) != n_train:
            raise ValueError(
                f"strata must have one entry an example ({n_train}), got "
                f"{len(self.strata)}"
            )


def _keys(seed: int, rows: Tensor, n_train: int) -> Tensor:
    """Return a random key an example, made distinct by the example's number."""
    words = random_words(seed, Purpose.MASK, rows, torch.arange(n_train))
    return words * 2**24 + torch.arange(n_train)


def _smallest(keys: Tensor, size: int) -> Tensor:
    chosen = keys.topk(size, dim=1, largest=False, sorted=False).indices
    weights = torch.zeros(keys.shape, dtype=torch.float64)
    return weights.scatter(1, chosen, 1.0)


def _size_covariance(size: int, n: int) -> Tensor:
    scale = size * (n - size) / (n * (n - 1)) if n > 1 else 0.0
    return scale * (torch.eye(n, dtype=torch.float64) - 1.0 / n)


def _check_size(size: int, n: int, name: str) -> None:
    if not 1 <= size < n:
        raise ValueError(f"{name} must lie in [1, {n}), got {size}")

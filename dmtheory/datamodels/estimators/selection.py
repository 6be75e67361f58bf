"""Which models a penalty is chosen on; blocks that share a seed stay together."""

from dataclasses import dataclass
from math import ceil
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool
from torch import Tensor

from dmtheory.checks import check_at_least, check_open_unit
from dmtheory.designs.seeds import Purpose, check_seed, permutation


@runtime_checkable
class Selection(Protocol):
    """A rule that holds models out."""

    def held_out(self, n_blocks: int) -> list[Bool[Tensor, " blocks"]]:
        """Return which blocks are held out, once or several times."""
        ...


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Hold out a share of the models once.

    Attributes:
        share: Share of the models, or pairs, in (0, 1).
        seed: Which ones, drawn by a counter.
    """

    share: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        check_open_unit(self.share, "share")
        check_seed(self.seed)

    def held_out(self, n_blocks: int) -> list[Bool[Tensor, " blocks"]]:
        """Return one set, of ceil(share · n) blocks."""
        n_held = ceil(self.share * n_blocks)
        _check_enough(n_blocks, n_held + 2)
        return [_places(n_blocks, self.seed) < n_held]


@dataclass(frozen=True, slots=True)
class KFold:
    """Hold out each of k parts of the models in turn.

    Attributes:
        folds: k, at least 2.
        seed: Which models make a part, drawn by a counter.
    """

    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.folds, 2, "folds")
        check_seed(self.seed)

    def held_out(self, n_blocks: int) -> list[Bool[Tensor, " blocks"]]:
        """Return k sets whose sizes differ by at most one."""
        _check_enough(n_blocks, 2 * self.folds)
        part = _places(n_blocks, self.seed) % self.folds
        return [part == k for k in range(self.folds)]


def _places(n_blocks: int, seed: int) -> Tensor:
    """Return each block's place in a random order."""
    order = permutation(seed, Purpose.SPLIT, 0, torch.arange(n_blocks))
    return torch.argsort(order)


def _check_enough(n_blocks: int, least: int) -> None:
    if n_blocks < least:
        raise ValueError(
            f"outputs must come from at least {least} models or pairs to choose a "
            f"penalty on, got {n_blocks}: train more, or state one penalty"
        )

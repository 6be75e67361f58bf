"""How an image is moved at each visit: drawn from (seed, epoch, image) alone."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int8, Int64
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.training.randomness import example_keys, keyed_uniforms

_STREAM = 0


@runtime_checkable
class Flips(Protocol):
    """When images are mirrored."""

    def __call__(
        self,
        now: Float[Tensor, "models images"],
        first: Float[Tensor, "models images"],
        epoch: int,
    ) -> Bool[Tensor, "models images"]:
        """Return who is mirrored, by uniforms of this epoch and of the first."""
        ...


@dataclass(frozen=True, slots=True)
class NoFlips:
    """No image is mirrored."""

    def __call__(self, now: Tensor, first: Tensor, epoch: int) -> Tensor:
        """Return no one."""
        return torch.zeros_like(now, dtype=torch.bool)


@dataclass(frozen=True, slots=True)
class IndependentFlips:
    """Each image is mirrored with probability 1/2, anew in every epoch."""

    def __call__(self, now: Tensor, first: Tensor, epoch: int) -> Tensor:
        """Return who is mirrored now."""
        return now < 0.5


@dataclass(frozen=True, slots=True)
class AlternatingFlips:
    """Half of the images are mirrored in even epochs, the others in odd ones.

    References:
        KellerJordan/cifar10-airbench, README: alternating flip.
    """

    def __call__(self, now: Tensor, first: Tensor, epoch: int) -> Tensor:
        """Return who is mirrored in this epoch."""
        return (first < 0.5) ^ (epoch % 2 == 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What may happen to an image at a visit.

    Attributes:
        flips: When it is mirrored left to right.
        shift: The most pixels that it moves along rows and columns.
        cutout: Side of a square inside it that is set to the mean; 0 for none.
    """

    flips: Flips = NoFlips()
    shift: int = 0
    cutout: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.shift, 0, "shift")
        check_at_least(self.cutout, 0, "cutout")

    def drawn(
        self,
        seeds: Int64[Tensor, " models"],
        epoch: int,
        ids: Int64[Tensor, " images"],
        side: int,
    ) -> Int8[Tensor, "models images 5"]:
        """Return the moves of every image in an epoch, as `pixels.moved` takes them."""
        if self == Moves():
            shape = (len(seeds), len(ids), 5)
            return torch.zeros(shape, dtype=torch.int8, device=ids.device)
        now, first = (_uniforms(seeds, e, ids) for e in (epoch, 0))
        flip = self.flips(now[..., 0], first[..., 0], epoch)
        shifts = (now[..., 1:3] * (2 * self.shift + 1)).floor() - self.shift
        corners = (now[..., 3:5] * (side - self.cutout + 1)).floor()
        return torch.cat([flip[..., None], shifts, corners], -1).to(torch.int8)


def _uniforms(seeds: Tensor, epoch: int, ids: Tensor) -> Tensor:
    epochs = torch.tensor([epoch], device=ids.device)
    keys = example_keys(seeds, epochs, ids[None])
    return keyed_uniforms(keys[..., 2:], 5, _STREAM)

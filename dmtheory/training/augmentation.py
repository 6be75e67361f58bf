"""Random changes of the inputs in training, keyed by example."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_positive
from dmtheory.training.randomness import Keys, keyed_uniforms

_STREAM = 0


@runtime_checkable
class Augmentation(Protocol):
    """A random change of each example that its key alone decides."""

    def __call__(
        self, x: Float[Tensor, "batch ..."], keys: Keys
    ) -> Float[Tensor, "batch ..."]:
        """Return the changed examples; keys hold two words for each."""
        ...


@dataclass(frozen=True, slots=True)
class GaussianNoise:
    """Add normal noise to every feature.

    Attributes:
        sigma: Its standard deviation, > 0.
    """

    sigma: float

    def __post_init__(self) -> None:
        check_positive(self.sigma, "sigma")

    def __call__(
        self, x: Float[Tensor, "batch ..."], keys: Keys
    ) -> Float[Tensor, "batch ..."]:
        """Return x plus noise."""
        uniform = keyed_uniforms(keys, x[0].numel(), _STREAM)
        noise = torch.special.ndtri(uniform).view(x.shape).to(x.dtype)
        return x + self.sigma * noise


@dataclass(frozen=True, slots=True)
class RandomFlip:
    """Mirror the last axis of an example (an image's columns) with probability 1/2."""

    def __call__(
        self, x: Float[Tensor, "batch ..."], keys: Keys
    ) -> Float[Tensor, "batch ..."]:
        """Return x, some examples mirrored."""
        flip = keyed_uniforms(keys, 1, _STREAM) < 0.5
        return torch.where(flip.view(-1, *[1] * (x.ndim - 1)), x.flip(-1), x)

"""Losses of one example, as functions of the network's prediction."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Loss(Protocol):
    """A smooth loss l_j of the prediction at example j."""

    def __call__(
        self, predictions: Float[Tensor, "examples outputs"], y: Tensor
    ) -> Float[Tensor, " examples"]:
        """Return one loss an example; its own prediction and y decide it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEntropy:
    """l = logsumexp(z) - (1 - s) z_y - s mean(z).

    Attributes:
        label_smoothing: s in [0, 1): the share of the target spread over all classes.

    References:
        Szegedy et al. 2016, Rethinking the Inception architecture, section 7.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"label_smoothing must lie in [0, 1), got {self.label_smoothing}"
            )

    def __call__(
        self, predictions: Float[Tensor, "examples outputs"], y: Tensor
    ) -> Float[Tensor, " examples"]:
        """Return the cross-entropy of logits with classes y."""
        # Classes first: sums over a short last axis are several times slower.
        z = predictions.T
        classes = torch.arange(len(z), device=y.device)
        own = (z * (y == classes[:, None]).to(z.dtype)).sum(0)
        smooth = self.label_smoothing
        losses = torch.logsumexp(z, 0) - (1 - smooth) * own
        return losses - smooth * z.mean(0) if smooth else losses


@dataclass(frozen=True, slots=True)
class SquaredError:
    """l = (z - y)^2 / 2 of the network's one output."""

    def __call__(
        self, predictions: Float[Tensor, "examples outputs"], y: Tensor
    ) -> Float[Tensor, " examples"]:
        """Return half the squared error."""
        return 0.5 * (predictions.squeeze(-1) - y).square()

"""Normalisation layers that know the weights of a batch's examples."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, group_norm


@runtime_checkable
class Normalisation(Protocol):
    """Makes the normalisation layer of some channels."""

    def __call__(self, width: int) -> nn.Module:
        """Return a layer, called with activations and slot weights (or None)."""
        ...


class WeightedBatchNorm(nn.Module):
    """Batch normalisation with the statistics of a weighted batch.

    mean = sum_j w_j x_j / sum_j w_j over examples and pixels, and likewise the
    variance, so an example of weight 0 is absent and c w is w. The running variance
    is corrected by n/(n - 1), n = (sum w)^2 / sum w^2 times the pixels: for weights 0
    and 1 this is what torch does with the examples that are there. A batch without
    weight leaves the running statistics as they are.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, width: int, *, momentum: float, eps: float, scaled: bool
    ) -> None:
        """Prepare the channels.

        Args:
            width: Channels.
            momentum: Share of the new batch in the running statistics.
            eps: Added to the variance.
            scaled: Whether a factor a channel is trained too, not the shift alone.
        """
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(width)) if scaled else None
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return normalised activations; equal weights if none are given."""
        if not self.training or weights is None:
            return batch_norm(
                x,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=self.training,
                momentum=self.momentum,
                eps=self.eps,
            )
        exact = x.to(self.bias.dtype)
        mean, var = self._statistics(exact, weights.to(exact.dtype))
        scale = torch.rsqrt(var + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        shift = self.bias - mean * scale
        return (exact * _channels(scale) + _channels(shift)).to(x.dtype)

    def _statistics(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        total, n_pixels = weights.sum(), x.shape[2] * x.shape[3]
        there = total > 0
        shares = weights / (torch.where(there, total, 1.0) * n_pixels)
        shares = shares[:, None, None, None]
        mean = (x * shares).sum((0, 2, 3))
        # An empty batch has no spread: any but zero keeps what follows finite.
        var = ((x - _channels(mean)).square() * shares).sum((0, 2, 3))
        var = torch.where(there, var, 1.0)
        with torch.no_grad():
            squares = torch.where(there, weights.square().sum(), 1.0)
            n = total.square() / squares * n_pixels
            step = self.momentum * there.to(mean.dtype)
            correction = n / (n - 1).clamp_min(1)
            self.running_mean += step * (mean - self.running_mean)
            self.running_var += step * (var * correction - self.running_var)
        return mean, var


class GroupNorm(nn.Module):
    """Normalisation of each example by itself, without parameters."""

    def __init__(self, width: int, *, n_groups: int) -> None:
        """Prepare n_groups groups of channels."""
        super().__init__()
        self.n_groups = n_groups if width % n_groups == 0 else 1

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return normalised activations, whatever the weights."""
        return group_norm(x, self.n_groups)


def _channels(values: Tensor) -> Tensor:
    return values[None, :, None, None]

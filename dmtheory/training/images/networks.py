"""The three networks of the recipes; each takes images and the batch's weights.

Windows of pooling do not overlap, so no two gradients meet in an entry and their sum
does not depend on the order that a device adds them in.
"""

import itertools
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, gelu, max_pool2d, relu

from dmtheory.training.images.normalisations import GroupNorm, WeightedBatchNorm


@runtime_checkable
class ImageNetwork(Protocol):
    """Makes a freshly initialised module of (images, slot weights or None)."""

    @property
    def width(self) -> int:
        """Channels of the first layer; all others are in proportion."""
        ...

    def __call__(self, n_classes: int) -> nn.Module:
        """Return the module, drawn from torch's generator."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet9:
    """The ResNet-9 of the datamodels example.

    References:
        MadryLab/datamodels, examples/cifar10/train_cifar.py: the layers.
    """

    width: int = 64

    def __call__(self, n_classes: int) -> nn.Module:
        """Return the module."""
        return _ResNet9(self.width, n_classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhitenedNet:
    """Six convolutions behind a frozen 2 x 2 patch whitening.

    References:
        KellerJordan/cifar10-airbench, airbench94_muon.py: the layers, their
        initialisation and their constants.
    """

    width: int = 64

    def __call__(self, n_classes: int) -> nn.Module:
        """Return the module; its whitening filters are set from the images."""
        return _WhitenedNet(self.width, n_classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothNet:
    """Four convolutions with GELU, means for pooling and no batch statistics.

    Its output is smooth in parameters, and an example's depends on no other. Only
    convolutions and the last layer have parameters, as K-FAC wants it.

    Attributes:
        width: Channels of the first layer.
        output_scale: What the logits are multiplied by.
    """

    width: int = 32
    output_scale: float = 0.25

    def __call__(self, n_classes: int) -> nn.Module:
        """Return the module."""
        return _SmoothNet(self.width, n_classes, self.output_scale)


class _ConvBatchNorm(nn.Module):
    def __init__(
        self, n_in: int, n_out: int, *, size: int = 3, stride: int = 1, padding: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, size, stride, padding, bias=False)
        self.norm = WeightedBatchNorm(n_out, momentum=0.1, eps=1e-5, scaled=True)

    def forward(self, x: Tensor, weights: Tensor | None) -> Tensor:
        return relu(self.norm(self.conv(x), weights))


class _ResNet9(nn.Module):
    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        one, two, four = width, 2 * width, 4 * width
        self.first = _ConvBatchNorm(3, one)
        self.second = _ConvBatchNorm(one, two, size=5, stride=2, padding=2)
        self.residual = nn.ModuleList(_ConvBatchNorm(two, two) for _ in range(2))
        self.third = _ConvBatchNorm(two, four)
        self.deeper = nn.ModuleList(_ConvBatchNorm(four, four) for _ in range(2))
        self.last = _ConvBatchNorm(four, two, padding=0)
        self.head = nn.Linear(two, n_classes, bias=False)

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        x = self.second(self.first(x, weights), weights)
        x = x + _through(self.residual, x, weights)
        x = max_pool2d(self.third(x, weights), 2)
        x = x + _through(self.deeper, x, weights)
        return self.head(self.last(x, weights).amax((2, 3))) * 0.2


class _WhitenedGroup(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = _dirac(n_in, n_out), _shifted(n_out)
        self.conv2, self.norm2 = _dirac(n_out, n_out), _shifted(n_out)

    def forward(self, x: Tensor, weights: Tensor | None) -> Tensor:
        x = gelu(self.norm1(max_pool2d(self.conv1(x), 2), weights))
        return gelu(self.norm2(self.conv2(x), weights))


class _WhitenedNet(nn.Module):
    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.whitening = nn.Conv2d(3, 24, 2)
        self.whitening.weight.requires_grad = False
        widths = (24, width, 4 * width, 4 * width)
        self.groups = nn.ModuleList(
            _WhitenedGroup(n_in, n_out) for n_in, n_out in itertools.pairwise(widths)
        )
        self.head = nn.Linear(widths[-1], n_classes, bias=False)
        with torch.no_grad():
            self.head.weight /= self.head.weight.std()

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        x = _through(self.groups, gelu(self.whitening(x)), weights)
        x = max_pool2d(x, 3).flatten(1)
        return self.head(x) / x.shape[1]


class _SmoothNet(nn.Module):
    def __init__(self, width: int, n_classes: int, output_scale: float) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width, 4 * width)
        self.convs = nn.ModuleList(
            nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
            for n_in, n_out in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(GroupNorm(n, n_groups=4) for n in widths[1:])
        self.head = nn.Linear(widths[-1], n_classes)
        self.output_scale = output_scale

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = avg_pool2d(gelu(norm(conv(x))), 2)
        return self.head(x.mean((2, 3))) * self.output_scale


def _through(layers: nn.ModuleList, x: Tensor, weights: Tensor | None) -> Tensor:
    for layer in layers:
        x = layer(x, weights)
    return x


def _dirac(n_in: int, n_out: int) -> nn.Conv2d:
    """Return a convolution whose first n_in channels start as the identity."""
    conv = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(conv.weight[:n_in])
    return conv


def _shifted(width: int) -> WeightedBatchNorm:
    """Return batch normalisation that trains shifts alone and forgets fast."""
    return WeightedBatchNorm(width, momentum=0.4, eps=1e-12, scaled=False)

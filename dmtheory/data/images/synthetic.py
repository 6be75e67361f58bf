"""Made-up images that a small network can learn: no file, the same on every machine."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.data.dataset import Dataset
from dmtheory.data.images.labelled import (
    CHANNELS,
    CLASS_NAMES,
    SIDE,
    LabelledImages,
)
from dmtheory.data.images.roles import with_roles
from dmtheory.designs.seeds import Purpose, uniforms

# Sides of the squares that a class's pattern is made of, and the noise around it.
_SQUARE = 8
_NOISE = 0.6
# Streams of the draw: patterns, then the images of each split.
_PATTERNS, _TRAIN, _TEST = 0, 1, 2


def synthetic_images(
    *,
    n_train: int = 256,
    n_targets: int = 16,
    n_test: int = 64,
    n_classes: int = 10,
    seed: int = 0,
) -> Dataset:
    """Return images of coloured squares in noise; a class is its arrangement.

    Args:
        n_train: Training images N, classes in turn.
        n_targets: Targets: the first of the test images.
        n_test: Test images, which give the held-out accuracy.
        n_classes: Classes, 2 to 10, named as CIFAR-10's.
        seed: Seed of patterns and noise.

    Returns:
        A data set of the layout of `cifar10`.

    Raises:
        ValueError: If a number is out of range.
    """
    if not 2 <= n_classes <= len(CLASS_NAMES):
        raise ValueError(f"n_classes must lie in [2, 10], got {n_classes}")
    check_at_least(n_train, 1, "n_train")
    check_at_least(n_targets, 1, "n_targets")
    check_at_least(n_test, n_targets, "n_test")
    side = SIDE // _SQUARE
    patterns = uniforms(
        seed,
        Purpose.DATA,
        torch.tensor([_PATTERNS]),
        torch.arange(n_classes * CHANNELS * side**2),
    ).view(n_classes, CHANNELS, side, side)
    train, test = (
        _drawn(patterns, n, stream, seed)
        for n, stream in ((n_train, _TRAIN), (n_test, _TEST))
    )
    return with_roles(
        "synthetic-images",
        train,
        test,
        torch.arange(n_targets),
        class_names=CLASS_NAMES[:n_classes],
        source="synthetic images",
    )


def _drawn(
    patterns: Float[Tensor, "classes channels rows columns"],
    n_images: int,
    stream: int,
    seed: int,
) -> LabelledImages:
    classes = torch.arange(n_images) % len(patterns)
    flat = torch.arange(n_images * CHANNELS * SIDE**2)
    noise = uniforms(seed, Purpose.DATA, torch.tensor([stream]), flat)
    squares = patterns.repeat_interleave(_SQUARE, 2).repeat_interleave(_SQUARE, 3)
    mixed = (1 - _NOISE) * squares[classes] + _NOISE * noise.view(
        n_images, CHANNELS, SIDE, SIDE
    )
    pixels: UInt8[Tensor, "images channels height width"] = (mixed * 256).to(
        torch.uint8
    )
    return LabelledImages(images=pixels, classes=classes, rows=torch.arange(n_images))

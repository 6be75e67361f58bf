"""Images as rows of real numbers and as pictures."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dmtheory.data.dataset import Dataset


def as_rows(images: Tensor) -> Tensor:
    """Return images as rows of numbers in [0, 1], in single precision."""
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    return images.flatten(1).float() / scale


def real_valued(data: Dataset, n_targets: int) -> Dataset:
    """Return the data with real pixels, its first targets and no held-out images."""
    return replace(
        data,
        x_train=as_rows(data.x_train),
        x_target=as_rows(data.x_target[:n_targets]),
        y_target=data.y_target[:n_targets],
        target_labels=data.target_labels[:n_targets],
        x_held_out=as_rows(data.x_held_out[:1]),
        y_held_out=data.y_held_out[:1],
        raw_train=None,
        raw_target=None,
    )


def picture(image: Tensor) -> list[Any] | None:
    """Return an image as nested lists in [0, 1], colours last; None if it is none."""
    if image.ndim != 3:
        return None
    scale = 255.0 if image.dtype == torch.uint8 else 1.0
    light = image.permute(1, 2, 0).double() / scale
    return (light * 1000).round().div(1000).tolist()

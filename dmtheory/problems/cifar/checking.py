"""Checks of what an image problem is made from, before anything is trained."""

import torch
from torch import Tensor

from dmtheory.data.dataset import Dataset
from dmtheory.training.images.networks import SmoothNet
from dmtheory.training.images.recipe import Recipe


def n_classes(data: Dataset) -> int:
    """Return how many classes there are."""
    if data.class_names:
        return len(data.class_names)
    return int(max(y.max() for y in (data.y_train, data.y_target, data.y_held_out))) + 1


def check_images(data: Dataset) -> None:
    """Raise ValueError unless data are uint8 images with whole classes."""
    shape = tuple(data.x_train.shape[1:])
    square = len(shape) == 3 and shape[0] == 3 and shape[1] == shape[2]
    if data.x_train.dtype != torch.uint8 or not square:
        raise ValueError(
            "data must have uint8 images of shape (3, side, side), got "
            f"{data.x_train.dtype} {shape}: use dmtheory.data.cifar10 or "
            "synthetic_images"
        )
    for y in (data.y_train, data.y_target, data.y_held_out):
        whole = not y.is_floating_point()
        if not whole or int(y.min()) < 0 or int(y.max()) >= n_classes(data):
            raise ValueError(
                f"data must have classes 0 to {n_classes(data) - 1}, got {y.dtype} "
                f"from {y.min().item():g} to {y.max().item():g}"
            )


def check_groups(
    groups: tuple[int, ...] | None, labels: tuple[str, ...], n_train: int
) -> None:
    """Raise ValueError unless groups number every image 0, ..., G - 1, none empty."""
    if groups is None:
        if labels:
            raise ValueError("group_labels must be empty where there are no groups")
        return
    if len(groups) != n_train or set(groups) != set(range(max(groups) + 1)):
        raise ValueError(
            f"groups must number every image ({n_train}) 0, ..., G - 1 with no group "
            f"empty, got {len(groups)} entries"
        )
    if labels and len(labels) != max(groups) + 1:
        raise ValueError(
            f"group_labels must have one entry a group ({max(groups) + 1}), got "
            f"{len(labels)}"
        )


def check_binary(weights: Tensor) -> None:
    """Raise ValueError unless every weight is 0 or 1."""
    if bool(((weights != 0) & (weights != 1)).any()):
        raise ValueError(
            "weights must be 0 or 1 in subset mode, which visits the subset alone: use "
            "mode='weighted' for other weights"
        )


def check_smooth(recipe: Recipe) -> None:
    """Raise ValueError unless parameters alone make smooth predictions."""
    if not isinstance(recipe.network, SmoothNet):
        raise ValueError(
            f"recipe must be SMOOTH for derivatives with respect to parameters, got "
            f"{recipe.name!r}, whose network has batch statistics"
        )

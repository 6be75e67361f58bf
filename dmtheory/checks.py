"""Checks at the boundary: one line that names argument, expectation and value."""

import math
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_matrix(value: Any, name: str, axes: str) -> Tensor:
    """Return a finite float64 matrix on the CPU or the value's own device.

    Args:
        value: Anything numpy or torch can read as a two-dimensional array.
        name: The argument's name, for the message.
        axes: What the axes are, for the message, such as "models x train".

    Returns:
        A float64 tensor with two axes.

    Raises:
        ValueError: If it has another number of axes, is empty, or is not finite.
    """
    matrix = as_tensor(value, name)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(
            f"{name} must be a non-empty matrix ({axes}), got shape "
            f"{tuple(matrix.shape)}"
        )
    check_finite(matrix, name)
    return matrix


def as_tensor(value: Any, name: str) -> Tensor:
    """Return a float64 tensor.

    Raises:
        TypeError: If the value is no array of numbers.
    """
    if isinstance(value, Tensor):
        return value.to(torch.float64)
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be an array of numbers, got dtype {array.dtype}")
    return torch.from_numpy(array.astype(np.float64))


def check_finite(tensor: Tensor, name: str) -> None:
    """Raise ValueError with the first place where the tensor is not finite."""
    bad = (~torch.isfinite(tensor)).nonzero()
    if len(bad):
        place = tuple(bad[0].tolist())
        raise ValueError(
            f"{name} must be finite, got {tensor[place].item()} at index {place} "
            f"({len(bad)} such entries)"
        )


def check_weights(weights: Tensor, n_train: int) -> None:
    """Raise ValueError unless weights are finite, >= 0 and [models, n_train]."""
    if weights.ndim != 2 or weights.shape[1] != n_train:
        raise ValueError(
            f"weights must have shape (models, {n_train}), got {tuple(weights.shape)}"
        )
    check_finite(weights, "weights")
    if bool((weights < 0).any()):
        raise ValueError(
            f"weights must be >= 0, got {weights.min().item():g}; a step that would "
            "cross zero needs a one-sided difference"
        )


def check_seeds(seeds: Tensor, n_models: int) -> None:
    """Raise unless seeds are one 64-bit integer a model.

    Raises:
        TypeError: If they are of another type.
        ValueError: If they are not n_models.
    """
    if seeds.dtype != torch.int64:
        raise TypeError(f"seeds must be of type torch.int64, got {seeds.dtype}")
    if tuple(seeds.shape) != (n_models,):
        raise ValueError(
            f"seeds must have shape ({n_models},), one a row of weights, got "
            f"{tuple(seeds.shape)}"
        )


def check_open_unit(value: float, name: str) -> None:
    """Raise ValueError unless 0 < value < 1."""
    if not (isinstance(value, float | int) and 0 < value < 1):
        raise ValueError(f"{name} must lie in (0, 1), got {value}")


def check_positive(value: float, name: str) -> None:
    """Raise ValueError unless value is finite and > 0."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be finite and > 0, got {value}")


def check_at_least(value: int, least: int, name: str) -> None:
    """Raise unless value is a whole number >= least.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is smaller.
    """
    if not isinstance(value, Integral):
        raise TypeError(
            f"{name} must be a whole number of at least {least}, got {value!r}"
        )
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def check_choice(value: str, choices: tuple[str, ...], name: str) -> None:
    """Raise ValueError unless value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")

"""Tensors in `.pt` files: only what torch reads without running code, mapped."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dmtheory.interchange.archives import sound_archive
from dmtheory.interchange.reasons import quoted, reason

# Weights of all targets of the release have 10 GB; members are stored, so that an
# archive never unfolds to more than its own size.
_MOST_BYTES = 2**45
_PLAIN = (
    torch.float16,
    torch.float32,
    torch.float64,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.bool,
)


def load_tensor(path: Path, *, axes: tuple[int, ...]) -> Tensor:
    """Map a `.pt` file that holds one tensor.

    Args:
        path: The file.
        axes: How many axes it may have.

    Returns:
        The tensor, read from the file where it is used.

    Raises:
        ValueError: If the file holds something else, or needs code to be read.
    """
    return _checked(_load(path), path, "content", axes)


def load_tensors(path: Path, axes: dict[str, int]) -> dict[str, Tensor]:
    """Map a `.pt` file that holds a dictionary of tensors.

    Args:
        path: The file.
        axes: The keys that must be there, and how many axes each tensor has.

    Returns:
        The tensors by key, read from the file where they are used.

    Raises:
        ValueError: If the file holds something else, or needs code to be read.
    """
    found = _load(path)
    if not isinstance(found, dict) or not set(axes) <= set(found):
        got = sorted(map(str, found)) if isinstance(found, dict) else type(found)
        raise ValueError(f"{path} must hold {', '.join(axes)}, got {quoted(got)}")
    return {key: _checked(found[key], path, key, (n,)) for key, n in axes.items()}


def _load(path: Path) -> Any:
    with sound_archive(path, compressed=False, most_bytes=_MOST_BYTES) as archive:
        names = [member.filename for member in archive.infolist()]
        if any(name.endswith("constants.pkl") for name in names):
            raise ValueError(f"{path} must hold tensors, got a TorchScript program")
    try:
        with warnings.catch_warnings():
            # torch warns of a pickle that it then reads in part.
            warnings.simplefilter("error", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    # torch raises errors of many kinds for a damaged file.
    except (
        pickle.UnpicklingError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        EOFError,
        OSError,
        AssertionError,
        OverflowError,
        MemoryError,
        UnicodeDecodeError,
        UserWarning,
    ) as error:
        # torch's own advice is to run the file; its first sentence says why not to.
        raise ValueError(
            f"{path} must hold plain tensors that torch reads with weights_only=True "
            f"({reason(error).partition('.')[0]})"
        ) from None


def _checked(found: Any, path: Path, key: str, axes: tuple[int, ...]) -> Tensor:
    if not isinstance(found, Tensor) or found.layout != torch.strided:
        raise ValueError(f"{path}: {key} must be a tensor, got {type(found).__name__}")
    if found.ndim not in axes or found.dtype not in _PLAIN or found.numel() == 0:
        raise ValueError(
            f"{path}: {key} must have {' or '.join(map(str, axes))} axes of plain "
            f"numbers, got shape {tuple(found.shape)} of {found.dtype}"
        )
    if found.numel() * found.element_size() > found.untyped_storage().nbytes():
        raise ValueError(
            f"{path}: {key} must hold an entry for each place of its shape "
            f"{tuple(found.shape)}, got fewer that are repeated"
        )
    return found.detach()

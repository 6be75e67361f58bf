"""The official python archive of CIFAR-10, read without running what it names.

A pickle can name any function and call it. This reader knows the handful of names that
an array of bytes needs, and refuses all others before anything is called.
"""

import codecs
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from dmtheory.data.images.labelled import (
    CHANNELS,
    CLASS_NAMES,
    SIDE,
    LabelledImages,
    check_classes,
)

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = ("test_batch",)
_BYTES = "u1"


def read_batches(path: Path, names: tuple[str, ...]) -> LabelledImages:
    """Return all images of some batches, in the archive's order.

    Args:
        path: The archive (.tar.gz), or the folder that it unpacks to.
        names: Names of the batches.

    Returns:
        The images.

    Raises:
        ValueError: If a batch is missing, no safe pickle, or holds something else.
    """
    found = _members(path, names)
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f"{path} must be CIFAR-10's python archive or its folder, but it has no "
            f"{missing[0]}"
        )
    batches = [_batch(found[name], f"{path}, {name}") for name in names]
    images = torch.from_numpy(np.concatenate([pixels for pixels, _ in batches]))
    classes = torch.tensor([c for _, labels in batches for c in labels])
    check_classes(classes, len(CLASS_NAMES), str(path))
    return LabelledImages(
        images=images.unflatten(1, (CHANNELS, SIDE, SIDE)),
        classes=classes,
        rows=torch.arange(len(classes)),
    )


def _members(path: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the content of each batch that is there."""
    if path.is_dir():
        files = {name: path / name for name in names}
        return {n: file.read_bytes() for n, file in files.items() if file.is_file()}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            # One pass: a compressed archive cannot be entered in the middle.
            for member in archive:
                name = PurePosixPath(member.name).name
                if name in names and (file := archive.extractfile(member)):
                    found[name] = file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{path} must be a tar archive: {error}") from error
    return found


def _batch(content: bytes, place: str) -> tuple[np.ndarray, list[int]]:
    """Return the pixels and classes of one batch."""
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
        raise ValueError(f"{place} must be a pickled batch: {error}") from error
    pixels = batch.get(b"data") if isinstance(batch, dict) else None
    labels = batch.get(b"labels") if isinstance(batch, dict) else None
    n_values = CHANNELS * SIDE * SIDE
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.ndim != 2
        or pixels.shape[1] != n_values
    ):
        raise ValueError(f"{place} must have 'data' of bytes, (images, {n_values})")
    if (
        not isinstance(labels, list)
        or len(labels) != len(pixels)
        or not all(isinstance(c, int) for c in labels)
    ):
        raise ValueError(f"{place} must have 'labels', one whole number an image")
    return pixels, labels


class _ArraysOnly(pickle.Unpickler):
    """Reads dictionaries, lists, numbers, text, bytes and arrays of bytes."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the few names that an array needs.

        Raises:
            pickle.UnpicklingError: For every other name.
        """
        allowed = _ALLOWED.get((module, name))
        if allowed is None:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in it")
        return allowed


def _byte_type(name: str | bytes, *flags: Any) -> np.dtype:
    text = name.decode("ascii") if isinstance(name, bytes) else name
    if text != _BYTES:
        raise pickle.UnpicklingError(f"arrays of {text!r} are not allowed in it")
    return np.dtype(_BYTES, align=False, copy=True)


def _text_as_bytes(text: str, encoding: str | bytes) -> bytes:
    return codecs.encode(text, "latin1")


# What numpy names when it pickles an array; the module moved in numpy 2.
_RECONSTRUCT: Any = np.empty(0, np.uint8).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _byte_type,
    # How protocol 2 writes bytes.
    ("_codecs", "encode"): _text_as_bytes,
}

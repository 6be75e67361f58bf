"""Images in a parquet file, as the public hub lays them out."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from dmtheory.data.images.labelled import (
    CLASS_NAMES,
    SIDE,
    LabelledImages,
    check_classes,
)

# Names of the columns in the hub's data sets.
_IMAGE_COLUMNS = ("img", "image")
_CLASS_COLUMNS = ("label", "labels")
_JPEG = b"\xff\xd8"


def parquet_rows(path: Path) -> int:
    """Return how many images a parquet file has."""
    return int(_opened(path).metadata.num_rows)


def read_parquet(path: Path, rows: Int64[Tensor, " images"]) -> LabelledImages:
    """Return some images of a parquet file.

    Args:
        path: A file with a column of images ({bytes, path}; PNG or JPEG) and one of
            whole-number labels.
        rows: Their numbers in the file.

    Returns:
        The images.

    Raises:
        ValueError: If a column is missing, or an image is not 32 x 32.
        ImportError: If pyarrow or Pillow is not installed.
    """
    opened = _opened(path)
    names = opened.schema_arrow.names
    image, label = (
        _column(path, names, wanted) for wanted in (_IMAGE_COLUMNS, _CLASS_COLUMNS)
    )
    table = opened.read(columns=[image, label]).take(rows.tolist())
    encoded = table[image].combine_chunks().field("bytes").to_pylist()
    classes = torch.tensor(table[label].to_pylist(), dtype=torch.int64)
    check_classes(classes, len(CLASS_NAMES), str(path))
    numbers = rows.tolist()
    pixels = [
        _decoded(entry, f"{path}, image {number}")
        for entry, number in zip(encoded, numbers, strict=True)
    ]
    return LabelledImages(
        images=torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(),
        classes=classes,
        rows=rows,
        lossy=any(entry.startswith(_JPEG) for entry in encoded),
    )


def _opened(path: Path) -> Any:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ImportError(
            "parquet files need pyarrow: pip install 'dmtheory[formats]'"
        ) from error
    try:
        return ParquetFile(path)
    except ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} must be a parquet file: {reason}") from error


def _column(path: Path, names: list[str], wanted: tuple[str, ...]) -> str:
    for name in wanted:
        if name in names:
            return name
    raise ValueError(
        f"{path} must have a column {' or '.join(map(repr, wanted))}, got "
        f"{', '.join(names)}"
    )


def _decoded(encoded: bytes | None, place: str) -> np.ndarray:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ImportError(
            "encoded images need Pillow: pip install 'dmtheory[formats]'"
        ) from error
    if encoded is None:
        raise ValueError(f"{place} must hold the image's bytes, got none")
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{place} must be a PNG or JPEG image: {error}") from error
    if pixels.shape[:2] != (SIDE, SIDE):
        raise ValueError(
            f"{place} must be {SIDE} x {SIDE}, got {pixels.shape[0]} x "
            f"{pixels.shape[1]}"
        )
    return pixels

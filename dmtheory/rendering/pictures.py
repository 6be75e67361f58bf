"""Small pictures as PNG data addresses, with nothing but the standard library."""

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR = 0, 2


def png_data_uri(pixels: Sequence[Any], *, ink: bool = False) -> str:
    """Encode pixel values as an address that a page can carry in itself.

    Args:
        pixels: Rows of values in [0, 1]: [rows, columns] in grey or
            [rows, columns, 3] in colour.
        ink: Whether 1 is ink on paper (dark) instead of light.

    Returns:
        An address that starts with "data:image/png;base64,".

    Raises:
        ValueError: If the values are no picture, or lie outside [0, 1].
    """
    try:
        values = np.asarray(pixels, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("pixels must be a full grid of numbers") from None
    colour = values.ndim == 3 and values.shape[-1] == 3
    if not (values.ndim == 2 or colour) or values.size == 0:
        raise ValueError(
            "pixels must be rows x columns, or rows x columns x 3, got shape "
            f"{values.shape}"
        )
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise ValueError("pixels must lie in [0, 1]")
    levels = np.round((1 - values if ink else values) * 255).astype(np.uint8)
    return "data:image/png;base64," + base64.b64encode(_png(levels)).decode()


def _png(levels: np.ndarray) -> bytes:
    rows, columns = levels.shape[:2]
    kind = _GREY if levels.ndim == 2 else _COLOUR
    header = struct.pack(">IIBBBBB", columns, rows, 8, kind, 0, 0, 0)
    # Every row starts with its filter; 0 is none.
    lines = np.insert(levels.reshape(rows, -1), 0, 0, axis=1).tobytes()
    chunks = (
        _chunk(b"IHDR", header),
        _chunk(b"IDAT", zlib.compress(lines, 9)),
        _chunk(b"IEND", b""),
    )
    return _SIGNATURE + b"".join(chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

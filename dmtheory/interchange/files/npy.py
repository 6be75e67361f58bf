"""Arrays in `.npy` files: the header is checked, rows are read a range at a time.

The header is parsed here and not by numpy, so that nothing in it is trusted: no object
or structured types, no more bytes than the file has, and none too few.
"""

import ast
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmtheory.interchange.files.places import Place
from dmtheory.interchange.files.reasons import quoted, reason

_MAGIC = b"\x93NUMPY"
_MOST_HEADER = 2**16
_MOST_AXES = 8
# Booleans, integers and floats, of more than a byte in a stated order; no objects,
# strings or records.
_TYPES = re.compile(r"[<>](b1|[iu][1248]|f[248])|\|(b1|[iu]1)")
_KEYS = {"descr", "fortran_order", "shape"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a `.npy` file says it holds.

    Attributes:
        shape: Its axes.
        dtype: Type of an entry.
        fortran: Whether the first axis varies fastest.
        offset: Bytes before the first entry.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int

    @property
    def n_bytes(self) -> int:
        """Bytes that the whole file must have."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class NpyRows:
    """An array in a `.npy` file, of which nothing is read until it is asked for.

    Attributes:
        place: The file.
        header: What it holds.
    """

    place: Place
    header: Header

    def __post_init__(self) -> None:
        columns_first = self.header.fortran and len(self.header.shape) > 1
        if columns_first and self.place.is_remote:
            raise ValueError(
                f"{self.place} must be stored row by row to be read remotely, got "
                "columns first: download it"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes, rows first."""
        return self.header.shape

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from start up to stop."""
        header = self.header
        if not 0 <= start < stop <= header.shape[0]:
            raise ValueError(
                f"rows of {self.place} must lie in [0, {header.shape[0]}), got "
                f"[{start}, {stop})"
            )
        if not self.place.is_remote:
            # A local file is mapped: only the pages of these rows are read.
            mapped = np.memmap(
                self.place.local,
                dtype=header.dtype,
                mode="r",
                offset=header.offset,
                shape=header.shape,
                order="F" if header.fortran else "C",
            )
            return np.array(mapped[start:stop])
        shape = (stop - start, *header.shape[1:])
        width = math.prod(header.shape[1:]) * header.dtype.itemsize
        first = header.offset + start * width
        content = self.place.read(first, first + (stop - start) * width)
        return np.frombuffer(content, dtype=header.dtype).reshape(shape)


def open_npy(place: Place, *, axes: int | None = None) -> NpyRows:
    """Open a `.npy` file after its header and its length were checked.

    Args:
        place: The file.
        axes: How many axes it must have.

    Returns:
        Its rows, unread.

    Raises:
        ValueError: If it is no array of plain numbers, has another number of axes, is
            empty, or is shorter or longer than its header says.
    """
    size = place.size()
    header = parse_header(place.read(0, min(size, _MOST_HEADER + 12)), name=place.path)
    if axes is not None and len(header.shape) != axes:
        raise ValueError(
            f"{place.path} must have {axes} axes, got shape {header.shape}"
        )
    if not header.shape or 0 in header.shape:
        raise ValueError(f"{place.path} must hold rows, got shape {header.shape}")
    if size != header.n_bytes:
        what = "was cut short" if size < header.n_bytes else "holds more than it says"
        raise ValueError(
            f"{place.path} must have {header.n_bytes} bytes for shape {header.shape} "
            f"of {header.dtype}, got {size}: it {what}"
        )
    return NpyRows(place=place, header=header)


def parse_header(content: bytes, *, name: str) -> Header:
    """Read the header of a `.npy` file.

    Args:
        content: The file's first bytes, at least the header.
        name: What the file is called in messages.

    Returns:
        What it says.

    Raises:
        ValueError: If it is malformed, or the type of an entry is no plain number.
    """
    if content[:6] != _MAGIC:
        raise ValueError(f"{name} must be a .npy file, got other first bytes")
    # Version 1 states the header's length in two bytes, later ones in four.
    width = {1: 2, 2: 4, 3: 4}.get(content[6] if len(content) > 6 else 0)
    if width is None or len(content) < 8 + width:
        raise ValueError(f"{name} must be a .npy file of version 1, 2 or 3")
    length = int.from_bytes(content[8 : 8 + width], "little")
    text = content[8 + width : 8 + width + length]
    if length > _MOST_HEADER or len(text) < length:
        raise ValueError(f"{name} must have its whole header, got {len(text)} bytes")
    fields = _fields(text, name)
    return Header(
        shape=_shape(fields["shape"], name),
        dtype=_dtype(fields["descr"], name),
        fortran=fields["fortran_order"],
        offset=8 + width + length,
    )


def _fields(text: bytes, name: str) -> dict[str, Any]:
    try:
        found = ast.literal_eval(text.decode("utf-8").strip())
    # What arbitrary bytes make the parser raise.
    except (
        ValueError,
        SyntaxError,
        TypeError,
        MemoryError,
        RecursionError,
    ) as error:
        raise ValueError(
            f"{name} must have a readable header: {reason(error)}"
        ) from None
    if (
        not isinstance(found, dict)
        or set(found) != _KEYS
        or not isinstance(found["fortran_order"], bool)
    ):
        raise ValueError(f"{name} must state descr, fortran_order and shape")
    return found


def _shape(value: Any, name: str) -> tuple[int, ...]:
    whole = isinstance(value, tuple) and all(type(n) is int for n in value)
    if not whole or len(value) > _MOST_AXES or any(not 0 <= n < 2**48 for n in value):
        raise ValueError(
            f"{name} must have a shape of whole numbers, got {quoted(value)}"
        )
    return tuple(value)


def _dtype(value: Any, name: str) -> np.dtype[Any]:
    if not isinstance(value, str) or not _TYPES.fullmatch(value):
        raise ValueError(
            f"{name} must hold plain numbers, got entries of type {quoted(value)}: "
            "objects and records are never read"
        )
    return np.dtype(value)

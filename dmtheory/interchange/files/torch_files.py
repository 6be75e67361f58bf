"""Tensors in `.pt` files: only what torch reads without running code, rows at a time.

torch is asked for what the file says of its tensors and for none of their content; rows
are then read from where the archive holds them, on a disk or by byte range.
"""

import pickle
import struct
import warnings
import zipfile
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dmtheory.interchange.files.archives import read_member, sound_archive
from dmtheory.interchange.files.npy import Header, NpyRows
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.reasons import quoted, reason

# Weights of all targets of the release have 10 GB; members are stored, so that an
# archive never unfolds to more than its own size.
_MOST_BYTES = 2**45
_PLAIN = {
    torch.float16: "f2",
    torch.float32: "f4",
    torch.float64: "f8",
    torch.int8: "i1",
    torch.int16: "i2",
    torch.int32: "i4",
    torch.int64: "i8",
    torch.uint8: "u1",
    torch.bool: "b1",
}


def load_tensor(location: Location | Place, *, axes: tuple[int, ...]) -> NpyRows:
    """Open a `.pt` file that holds one tensor.

    Args:
        location: The file.
        axes: How many axes it may have.

    Returns:
        Its rows, unread.

    Raises:
        ValueError: If the file holds something else, or needs code to be read.
    """
    place = Place.of(location)
    found, members = _described(place)
    return _rows(found, place, members, "content", axes)


def load_tensors(
    location: Location | Place, axes: dict[str, int]
) -> dict[str, NpyRows]:
    """Open a `.pt` file that holds a dictionary of tensors.

    Args:
        location: The file.
        axes: The keys that must be there, and how many axes each tensor has.

    Returns:
        The tensors' rows by key, unread.

    Raises:
        ValueError: If the file holds something else, or needs code to be read.
    """
    place = Place.of(location)
    found, members = _described(place)
    if not isinstance(found, dict) or not set(axes) <= set(found):
        got = sorted(map(str, found)) if isinstance(found, dict) else type(found)
        raise ValueError(f"{place} must hold {', '.join(axes)}, got {quoted(got)}")
    return {
        key: _rows(found[key], place, members, key, (n,)) for key, n in axes.items()
    }


# First byte and end of the content of every member of an archive.
_Members = list[tuple[int, int]]


def _described(place: Place) -> tuple[Any, _Members]:
    """Return the file's content without numbers, and where its members lie."""
    with sound_archive(place, compressed=False, most_bytes=_MOST_BYTES) as archive:
        names = [member.filename for member in archive.infolist()]
        if any(name.endswith("constants.pkl") for name in names):
            raise ValueError(f"{place} must hold tensors, got a TorchScript program")
        order = [m for m in archive.infolist() if m.filename.endswith("/byteorder")]
        if any(read_member(archive, each, place) != b"little" for each in order):
            raise ValueError(f"{place} must hold tensors with the low byte first")
        members = [_extent(place, member) for member in archive.infolist()]
    try:
        with warnings.catch_warnings(), place.open() as file:
            # torch warns of a pickle that it then reads in part.
            warnings.simplefilter("error", UserWarning)
            return torch.load(file, map_location="meta", weights_only=True), members
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
            f"{place} must hold plain tensors that torch reads with weights_only=True "
            f"({reason(error).partition('.')[0]})"
        ) from None


def _extent(place: Place, member: zipfile.ZipInfo) -> tuple[int, int]:
    """Return the first byte and the end of a stored member's content."""
    # Two lengths end the local header of 30 bytes; what they count lies before the
    # content. The directory's own lengths may differ.
    fixed = place.read(member.header_offset, member.header_offset + 30)
    first = member.header_offset + 30 + sum(struct.unpack("<HH", fixed[26:]))
    return first, first + member.file_size


def _rows(
    found: Any, place: Place, members: _Members, key: str, axes: tuple[int, ...]
) -> NpyRows:
    if not isinstance(found, Tensor) or found.layout != torch.strided:
        raise ValueError(f"{place}: {key} must be a tensor, got {type(found).__name__}")
    if found.ndim not in axes or found.dtype not in _PLAIN or found.numel() == 0:
        raise ValueError(
            f"{place}: {key} must have {' or '.join(map(str, axes))} axes of plain "
            f"numbers, got shape {tuple(found.shape)} of {found.dtype}"
        )
    fortran = not found.is_contiguous()
    if fortran and not (found.ndim == 2 and found.T.is_contiguous()):
        raise ValueError(
            f"{place}: {key} must hold an entry for each place of its shape "
            f"{tuple(found.shape)}, row by row or column by column, got strides "
            f"{found.stride()}"
        )
    # Where torch found the record of a storage of which it read nothing.
    record: int = getattr(found.untyped_storage(), "_checkpoint_offset", -1)
    start = record + int(found.storage_offset()) * found.element_size()
    stop = start + found.numel() * found.element_size()
    if not any(first <= start and stop <= end for first, end in members):
        raise ValueError(f"{place}: {key} must lie inside the archive, whole")
    dtype = np.dtype(_PLAIN[found.dtype]).newbyteorder("<")
    header = Header(
        shape=tuple(found.shape), dtype=dtype, fortran=fortran, offset=start
    )
    return NpyRows(place=place, header=header)

"""Zip archives that nobody vouches for: names, sizes and compression are checked.

Nothing is ever extracted to disk; members are read into memory, up to a stated size.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import numpy as np

from dmtheory.interchange.files.npy import parse_header
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.reasons import quoted, reason

# A member whose content is this many times its stored bytes is a bomb; masks of few
# examples compress to a hundredth. Zeros compress to a thousandth, which is let through
# while they are few.
_MOST_RATIO, _LARGE_RATIO, _LARGE = 1100, 100, 2**28
_MOST_MEMBERS = 4096
# Bytes that an archive of arrays may unfold to.
MOST_BYTES = 2**32
_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    IndexError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    struct.error,
    ValueError,
    zlib.error,
)


@contextmanager
def sound_archive(
    place: Place, *, compressed: bool, most_bytes: int = MOST_BYTES
) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive whose members were checked.

    Args:
        place: The file.
        compressed: Whether members may be compressed.
        most_bytes: Bytes that its members may unfold to together.

    Yields:
        The archive.

    Raises:
        ValueError: If it is none, or a member's name leaves the archive, is there
            twice, is encrypted, or unfolds to more than is allowed.
    """
    with place.open() as file:
        try:
            archive = zipfile.ZipFile(file)
        except _DAMAGE as error:
            raise ValueError(
                f"{place} must be a sound zip archive: {reason(error)}"
            ) from None
        with archive:
            check_members(
                archive.infolist(),
                name=str(place),
                compressed=compressed,
                most_bytes=most_bytes,
                stored_bytes=place.size(),
            )
            yield archive


def check_members(
    members: list[zipfile.ZipInfo],
    *,
    name: str,
    compressed: bool,
    most_bytes: int,
    stored_bytes: int,
) -> None:
    """Raise ValueError unless an archive's members are what they should be."""
    # Members that share their bytes unfold to the square of the archive's length.
    if sum(member.compress_size for member in members) > stored_bytes:
        raise ValueError(f"{name} must hold the bytes of each member once")
    if len(members) > _MOST_MEMBERS:
        raise ValueError(f"{name} must have at most {_MOST_MEMBERS} members")
    seen: set[str] = set()
    total = 0
    for member in members:
        inner = PurePosixPath(member.filename.replace("\\", "/"))
        shown = quoted(member.filename)
        if inner.is_absolute() or ".." in inner.parts or ":" in member.filename:
            raise ValueError(f"{name} must name members inside itself, got {shown}")
        if member.filename in seen:
            raise ValueError(f"{name} must name members once, got {shown} twice")
        seen.add(member.filename)
        if member.flag_bits & 0x1:
            raise ValueError(f"{name} must not be encrypted, but {shown} is")
        if not compressed and member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} must store members plainly, {shown} is packed")
        total += member.file_size
        ratio = _LARGE_RATIO if member.file_size > _LARGE else _MOST_RATIO
        bomb = member.file_size > ratio * max(member.compress_size, 1)
        if bomb or total > most_bytes:
            raise ValueError(
                f"{name} must unfold to at most {most_bytes} bytes and {ratio} "
                f"times its own, got {member.file_size} bytes in {shown}, stored as "
                f"{member.compress_size}"
            )


def load_npz(
    location: Location | Place, names: tuple[str, ...], *, most_bytes: int = MOST_BYTES
) -> dict[str, np.ndarray]:
    """Read arrays of plain numbers from a `.npz` file.

    Args:
        location: The file.
        names: The arrays that are wanted; others are not read.
        most_bytes: Bytes that the archive may unfold to.

    Returns:
        The arrays by name.

    Raises:
        ValueError: If the file is missing, damaged or malicious, or an array is
            missing, of objects, or cut short.
    """
    place = Place.of(location)
    with sound_archive(place, compressed=True, most_bytes=most_bytes) as archive:
        present = {member.filename: member for member in archive.infolist()}
        missing = [name for name in names if f"{name}.npy" not in present]
        if missing:
            raise ValueError(
                f"{place} must hold {', '.join(names)}, got no {missing[0]} among "
                f"{quoted(sorted(present))}"
            )
        return {
            name: _array(
                read_member(archive, present[f"{name}.npy"], place), place, name
            )
            for name in names
        }


def read_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: Place
) -> bytes:
    """Return a member's content, no more of it than it says.

    Raises:
        ValueError: If it is damaged or longer than stated.
    """
    shown = quoted(member.filename)
    try:
        with archive.open(member) as stream:
            content = stream.read(member.file_size + 1)
    except _DAMAGE as error:
        raise ValueError(
            f"{place} must be sound, but in {shown}: {reason(error)}"
        ) from None
    if len(content) != member.file_size:
        raise ValueError(
            f"{place} must hold {member.file_size} bytes of {shown}, got {len(content)}"
        )
    return content


def _array(content: bytes, place: Place, name: str) -> np.ndarray:
    header = parse_header(content, name=f"{place}:{name}")
    if len(content) != header.n_bytes:
        raise ValueError(
            f"{place}:{name} must have {header.n_bytes} bytes for shape "
            f"{header.shape}, got {len(content)}"
        )
    flat = np.frombuffer(content, dtype=header.dtype, offset=header.offset)
    return flat.reshape(header.shape, order="F" if header.fortran else "C")

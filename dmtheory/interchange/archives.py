"""Zip archives that nobody vouches for: names, sizes and compression are checked.

Nothing is ever extracted to disk; members are read into memory, up to a stated size.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np

from dmtheory.interchange.npy import parse_header
from dmtheory.interchange.reasons import quoted, reason

# A member whose content is this many times its stored bytes is a bomb; masks of few
# examples compress to a hundredth.
_MOST_RATIO = 1100
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
    path: Path, *, compressed: bool, most_bytes: int = MOST_BYTES
) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive whose members were checked.

    Args:
        path: The file.
        compressed: Whether members may be compressed.
        most_bytes: Bytes that its members may unfold to together.

    Yields:
        The archive.

    Raises:
        ValueError: If it is none, or a member's name leaves the archive, is there
            twice, is encrypted, or unfolds to more than is allowed.
    """
    if not path.is_file():
        raise ValueError(f"file must exist, got {path}")
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise ValueError(
            f"{path} must be a sound zip archive: {reason(error)}"
        ) from None
    with archive:
        check_members(
            archive.infolist(),
            name=str(path),
            compressed=compressed,
            most_bytes=most_bytes,
        )
        yield archive


def check_members(
    members: list[zipfile.ZipInfo], *, name: str, compressed: bool, most_bytes: int
) -> None:
    """Raise ValueError unless an archive's members are what they should be."""
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
        bomb = member.file_size > _MOST_RATIO * max(member.compress_size, 1)
        if bomb or total > most_bytes:
            raise ValueError(
                f"{name} must unfold to at most {most_bytes} bytes and {_MOST_RATIO} "
                f"times its own, got {member.file_size} bytes in {shown}, stored as "
                f"{member.compress_size}"
            )


def load_npz(
    path: Path, names: tuple[str, ...], *, most_bytes: int = MOST_BYTES
) -> dict[str, np.ndarray]:
    """Read arrays of plain numbers from a `.npz` file.

    Args:
        path: The file.
        names: The arrays that are wanted; others are not read.
        most_bytes: Bytes that the archive may unfold to.

    Returns:
        The arrays by name.

    Raises:
        ValueError: If the file is missing, damaged or malicious, or an array is
            missing, of objects, or cut short.
    """
    with sound_archive(path, compressed=True, most_bytes=most_bytes) as archive:
        present = {member.filename: member for member in archive.infolist()}
        missing = [name for name in names if f"{name}.npy" not in present]
        if missing:
            raise ValueError(
                f"{path} must hold {', '.join(names)}, got no {missing[0]} among "
                f"{quoted(sorted(present))}"
            )
        return {
            name: _array(read_member(archive, present[f"{name}.npy"], path), path, name)
            for name in names
        }


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> bytes:
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
            f"{path} must be sound, but in {shown}: {reason(error)}"
        ) from None
    if len(content) != member.file_size:
        raise ValueError(
            f"{path} must hold {member.file_size} bytes of {shown}, got {len(content)}"
        )
    return content


def _array(content: bytes, path: Path, name: str) -> np.ndarray:
    header = parse_header(content, name=f"{path}:{name}")
    if len(content) != header.n_bytes:
        raise ValueError(
            f"{path}:{name} must have {header.n_bytes} bytes for shape {header.shape}, "
            f"got {len(content)}"
        )
    flat = np.frombuffer(content, dtype=header.dtype, offset=header.offset)
    return flat.reshape(header.shape, order="F" if header.fortran else "C")

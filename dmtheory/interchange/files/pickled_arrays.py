"""Pickled numpy arrays, without running what a pickle may say.

A pickle is a program. This reader lets it use only the instructions and the three
names that numpy writes for one array of plain numbers, and puts in their place objects
of its own that record what was said. The array is then made from what was recorded:
nothing of numpy's unpickling, and no function of the file's choice, is ever called.
"""

import io
import math
import pickle
import pickletools
import re
from typing import Any

import numpy as np

from dmtheory.interchange.files.archives import read_member, sound_archive
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.reasons import reason

_INSTRUCTIONS = frozenset(
    "PROTO FRAME GLOBAL STACK_GLOBAL MARK STOP NONE NEWTRUE NEWFALSE BININT BININT1 "
    "BININT2 LONG1 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 BINUNICODE SHORT_BINUNICODE "
    "BINBYTES SHORT_BINBYTES BINBYTES8 REDUCE BUILD BINPUT LONG_BINPUT MEMOIZE BINGET "
    "LONG_BINGET SHORT_BINSTRING BINSTRING".split()
)
_MOST_MEMO = 4096
_MOST_BYTES = 2**31
_TYPE = re.compile(r"(b1|[iu][1248]|f[248])")
_ORDERS = ("<", ">", "|", "=")


class _Type:
    """What numpy's dtype was told."""

    def __init__(self, text: Any = None, *_flags: Any) -> None:
        self.text, self.order = text, "|"

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, sub-array, names, fields, ...): records are refused.
        if len(state) < 5 or any(part is not None for part in state[2:5]):
            raise ValueError("its entries are records")
        self.order = state[1]

    def made(self) -> np.dtype[Any]:
        if not isinstance(self.text, str) or not _TYPE.fullmatch(self.text):
            raise ValueError(f"its entries are of type {self.text!r:.40}")
        if self.order not in _ORDERS:
            raise ValueError(f"its byte order is {self.order!r:.40}")
        return np.dtype(self.order + self.text)


class _Array:
    """What numpy's array was told."""

    def __init__(self) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def made(self) -> np.ndarray:
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            raise ValueError("its array was not filled")
        _, shape, kind, fortran, content = self.state
        if not isinstance(shape, tuple) or any(type(n) is not int for n in shape):
            raise ValueError("its shape is none")
        if min(shape, default=0) < 0 or not isinstance(content, bytes):
            raise ValueError("its array is none of plain numbers")
        if not isinstance(kind, _Type):
            raise ValueError("its array is none of plain numbers")
        dtype = kind.made()
        if math.prod(shape) * dtype.itemsize != len(content):
            raise ValueError(
                f"shape {shape} of {dtype} needs other than {len(content)} bytes"
            )
        return np.frombuffer(content, dtype=dtype).reshape(
            shape, order="F" if fortran is True else "C"
        )


class _ArrayType:
    """Stands for numpy.ndarray, which is named and never called."""


def _reconstruct(kind: Any, _shape: Any, _code: Any) -> _Array:
    if kind is not _ArrayType:
        raise ValueError("it makes something other than an array")
    return _Array()


def _encode(text: Any, encoding: Any = None) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("it encodes text as other than bytes")
    return text.encode("latin1")


_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("_codecs", "encode"): _encode,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise ValueError(f"it names {module}.{name}".replace("\n", " ")) from None


def load_pickled_array(location: Location | Place) -> np.ndarray:
    """Read a numpy array that `torch.save` or `pickle.dump` wrote.

    Args:
        location: A zip archive of `torch.save`, or a bare pickle.

    Returns:
        The array.

    Raises:
        ValueError: If the pickle says anything but one array of plain numbers, or the
            file is missing or damaged.
    """
    place = Place.of(location)
    return array_of_pickle(_pickle_in(place), name=str(place))


def array_of_pickle(content: bytes, *, name: str) -> np.ndarray:
    """Return the one array of plain numbers that a pickle describes.

    Args:
        content: The pickle.
        name: What it is called in messages.

    Returns:
        The array.

    Raises:
        ValueError: If the pickle says anything else.
    """
    try:
        _check_instructions(content)
        found = _Reader(io.BytesIO(content)).load()
        if not isinstance(found, _Array):
            raise ValueError("it is no array")
        return found.made()
    # A pickle of arbitrary bytes may raise almost anything.
    except Exception as error:
        raise ValueError(
            f"{name} must be a pickled array of plain numbers, but {reason(error)}: it "
            "was not run"
        ) from None


def _check_instructions(content: bytes) -> None:
    end = 0
    for instruction, argument, place in pickletools.genops(content):
        if instruction.name not in _INSTRUCTIONS:
            raise ValueError(f"it has the instruction {instruction.name}")
        if instruction.name.endswith("BINPUT") and (argument or 0) > _MOST_MEMO:
            raise ValueError("it memorises too much")
        assert place is not None
        end = place
    if end + 1 != len(content):
        raise ValueError("more follows its end")


def _pickle_in(place: Place) -> bytes:
    size = place.size()
    if size > _MOST_BYTES:
        raise ValueError(f"{place} must have at most {_MOST_BYTES} bytes")
    if size < 2 or place.read(0, 2) != b"PK":
        return place.read(0, size)
    with sound_archive(place, compressed=False) as archive:
        inner = [m for m in archive.infolist() if m.filename.endswith("data.pkl")]
        if len(inner) != 1:
            raise ValueError(f"{place} must hold one pickle, got {len(inner)}")
        return read_member(archive, inner[0], place)

"""Safetensors files: a JSON header and plain numbers; nothing to unpickle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.reasons import reason
from dmtheory.interchange.files.texts import parse_json
from dmtheory.whole_files import write_whole

# What the format names its texts, and the longest header that its library reads.
_TEXTS, _MOST_HEADER = "__metadata__", 10**8


def read_safetensors(
    location: Location | Place, names: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read tensors of a safetensors file.

    Args:
        location: The file; of a remote one the ranges of these tensors are fetched.
        names: The tensors that are wanted; others are not read.

    Returns:
        The tensors by name (bfloat16 as float32), and the header's texts.

    Raises:
        ValueError: If the file is missing or damaged, or a tensor is missing.
    """
    library, place = _library(), Place.of(location)
    header = _header(place)
    try:
        missing = [name for name in names if name not in header]
        if missing:
            raise ValueError(f"it has no tensor {missing[0]}")
        if place.is_remote:
            found = _fetched(place, header, names)
        else:
            with library.safe_open(place.local, framework="pt") as file:
                found = {name: file.get_tensor(name) for name in names}
    except (library.SafetensorError, ValueError, OSError, RuntimeError) as error:
        raise ValueError(
            f"{place} must be a safetensors file with {', '.join(names)}: "
            f"{reason(error)}"
        ) from None
    texts = {str(k): str(v) for k, v in (header.get(_TEXTS) or {}).items()}
    return {name: _plain(value).numpy() for name, value in found.items()}, texts


def tensor_names(location: Location | Place) -> tuple[str, ...]:
    """Return the names of a safetensors file's tensors.

    Raises:
        ValueError: If the file is missing, or is none.
    """
    return tuple(name for name in _header(Place.of(location)) if name != _TEXTS)


def _header(place: Place) -> dict[str, Any]:
    """Return what a safetensors file says before its numbers."""
    size = place.size()
    length = int.from_bytes(place.read(0, min(size, 8)), "little")
    if size < 8 or length > min(_MOST_HEADER, size - 8):
        raise ValueError(f"{place} must be a safetensors file with its whole header")
    found = parse_json(place.read(8, 8 + length), name=f"the header of {place}")
    if not isinstance(found, dict) or not isinstance(found.get(_TEXTS, {}), dict):
        raise ValueError(f"{place} must be a safetensors file, got another header")
    return found


def _fetched(
    place: Place, header: dict[str, Any], names: tuple[str, ...]
) -> dict[str, Tensor]:
    """Fetch some tensors' bytes and let the library read them as a file of their own.

    Returns:
        The tensors by name.

    Raises:
        ValueError: If the header is not as it should be.
    """
    from safetensors.torch import load

    first = 8 + int.from_bytes(place.read(0, 8), "little")
    parts, entries, done = [], {}, 0
    for name in names:
        try:
            start, end = header[name]["data_offsets"]
            part = place.read(first + start, first + end)
        except (KeyError, TypeError) as error:
            raise ValueError(f"its entry of {name} is none: {reason(error)}") from None
        entries[name] = {**header[name], "data_offsets": [done, done + len(part)]}
        parts.append(part)
        done += len(part)
    text = json.dumps(entries).encode()
    return dict(load(b"".join([len(text).to_bytes(8, "little"), text, *parts])))


def write_safetensors(
    path: Path, tensors: dict[str, np.ndarray], texts: dict[str, str]
) -> None:
    """Write tensors and texts; the file appears whole or not at all."""
    _library()
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    write_whole(path, save(arrays, metadata=texts))


def _plain(value: Tensor) -> Tensor:
    """Return bfloat16, which numpy does not have, as float32."""
    return value.float() if value.dtype == torch.bfloat16 else value


def _library() -> Any:
    try:
        import safetensors
    except ImportError:
        raise ImportError(
            "safetensors files need safetensors: pip install 'dmtheory[formats]'"
        ) from None
    return safetensors

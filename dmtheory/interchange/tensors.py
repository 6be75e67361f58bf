"""Safetensors files: a JSON header and plain numbers; nothing to unpickle."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dmtheory.interchange.reasons import reason
from dmtheory.whole_files import write_whole


def read_safetensors(
    path: Path, names: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read tensors of a safetensors file.

    Args:
        path: The file.
        names: The tensors that are wanted; others are not read.

    Returns:
        The tensors by name (bfloat16 as float32), and the header's texts.

    Raises:
        ValueError: If the file is missing or damaged, or a tensor is missing.
    """
    library = _library()
    if not path.is_file():
        raise ValueError(f"file must exist, got {path}")
    try:
        with library.safe_open(path, framework="pt") as file:
            missing = [name for name in names if name not in file.keys()]
            if missing:
                raise ValueError(f"it has no tensor {missing[0]}")
            found = {name: file.get_tensor(name) for name in names}
            texts = dict(file.metadata() or {})
    except (library.SafetensorError, ValueError, OSError, RuntimeError) as error:
        raise ValueError(
            f"{path} must be a safetensors file with {', '.join(names)}: "
            f"{reason(error)}"
        ) from None
    return {name: _plain(value).numpy() for name, value in found.items()}, texts


def tensor_names(path: Path) -> tuple[str, ...]:
    """Return the names of a safetensors file's tensors, none where it is damaged."""
    library = _library()
    try:
        with library.safe_open(path, framework="pt") as file:
            return tuple(file.keys())
    except (library.SafetensorError, ValueError, OSError, RuntimeError):
        return ()


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

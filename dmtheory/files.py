"""Attributions as files: `.npz` arrays and JSON text, nothing that needs unpickling."""

import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.estimand import Estimand
from dmtheory.whole_files import whole_file

FORMAT = 1
# Units make intervals possible later; beyond this size they are left out.
_MAX_UNIT_BYTES = 2**26
ARRAYS = ("scores", "stderr", "units", "intercept")


class StoredByNewer(ValueError):
    """The file was written by a newer version of the package."""


# What reading a file of another kind, or a damaged one, may raise.
_DAMAGE = (
    AttributeError,
    BadZipFile,
    EOFError,
    KeyError,
    TypeError,
    UnicodeDecodeError,
    ValueError,
)


def save_attribution(attribution: Attribution, path: Path) -> None:
    """Write an attribution; the file appears whole or not at all.

    It holds `scores` and, where known, `stderr` [train, target], `units`
    [units, train, target] (up to 64 MiB), `intercept` [target], and everything else
    as JSON text.
    """
    arrays: dict[str, np.ndarray] = {}
    for name in ARRAYS:
        tensor: Tensor | None = getattr(attribution, name)
        if tensor is None or (name == "units" and tensor.nbytes > _MAX_UNIT_BYTES):
            continue
        arrays[name] = tensor.cpu().numpy()
    header = {"format": FORMAT, **header_of(attribution)}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def header_of(attribution: Attribution) -> dict[str, Any]:
    """Return what JSON holds of an attribution: all but its arrays."""
    return {
        "estimand": attribution.estimand.to_json(),
        "train_labels": attribution.train_labels,
        "target_labels": attribution.target_labels,
        "n_train": attribution.n_train,
        "n_models": attribution.n_models,
        "seeds": sorted(attribution.seeds),
        "method": attribution.method,
    }


def attribution_from(tensors: dict[str, Tensor], header: dict[str, Any]) -> Attribution:
    """Return the attribution of arrays and a header as `header_of` returns it."""
    return Attribution(
        **tensors,
        estimand=Estimand.from_json(header["estimand"]),
        train_labels=tuple(header["train_labels"]),
        target_labels=tuple(header["target_labels"]),
        n_train=header["n_train"],
        n_models=header["n_models"],
        seeds=frozenset(header["seeds"]),
        method=header["method"],
    )


def load_attribution(path: Path) -> Attribution:
    """Read an attribution that `save_attribution` wrote.

    Returns:
        The attribution; without units where they were too large to be kept.

    Raises:
        ValueError: If the file is missing, damaged or of another format.
        StoredByNewer: If it is of a newer format.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header: dict[str, Any] = json.loads(arrays.pop("header").tobytes())
        if header["format"] > FORMAT:
            raise StoredByNewer(
                f"{path} has format {header['format']}, newer than {FORMAT}: update "
                "dmtheory"
            )
        tensors = {n: torch.from_numpy(arrays[n]) for n in ARRAYS if n in arrays}
        return attribution_from(tensors, header)
    except FileNotFoundError:
        raise ValueError(f"file must exist, got {path}") from None
    except StoredByNewer:
        raise
    except _DAMAGE as error:
        raise ValueError(
            f"{path} must be an attribution file of dmtheory (.npz), but reading it "
            f"failed: {error}"
        ) from None


def load_matrix(path: Path) -> np.ndarray:
    """Read a `.npy` array without unpickling anything.

    Returns:
        The array.

    Raises:
        ValueError: If the file is missing or no plain array.
    """
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"file must exist, got {path}") from None
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} must be a .npy array: {error}") from None

"""Imported models as matrices on disk, written a block of rows at a time."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dmtheory.interchange.files.npy import open_npy
from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.texts import read_json
from dmtheory.interchange.imported.restarting import copy_runs
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.tags import Tags
from dmtheory.interchange.peers.datamodels_store import COMPLETED
from dmtheory.interchange.release.published import mask_name, output_name
from dmtheory.interchange.saving.lost import Lost, lost_of_runs, rounded
from dmtheory.whole_files import whole_file, write_whole

MASKS, OUTPUTS, TAGS = "masks.npy", "outputs.npy", "tags.json"


def save_arrays(runs: ImportedRuns, folder: Path) -> Lost:
    """Write `masks.npy`, `outputs.npy` and `tags.json`, which `open_arrays` reads.

    `dmtheory fit` and `dmtheory lds` take the first two. Held-out rows of the tags are
    renumbered where rows were left out. A copy that was interrupted goes on where it
    ended; `tags.json` is written last.

    Returns:
        What was lost.
    """
    (folder / TAGS).unlink(missing_ok=True)
    copy_runs(runs, folder / MASKS, folder / OUTPUTS)
    tags = {**runs.tags.to_json(), "held_out": runs.held_out_among_kept()}
    write_whole(folder / TAGS, json.dumps(tags, indent=1).encode())
    return Lost(lost_of_runs(runs, "tags"))


def open_arrays(
    folder: Location | Place, *, options: dict[str, Any] | None = None
) -> ImportedRuns:
    """Open what `save_arrays` wrote.

    Args:
        folder: A local folder or a URL.
        options: For fsspec.

    Returns:
        The models with their tags.

    Raises:
        ValueError: If a file is missing or damaged.
    """
    root = Place.of(folder, options)
    content = read_json(root / TAGS)
    if not isinstance(content, dict):
        raise ValueError(f"{(root / TAGS).path} must hold the tags of an import")
    tags = Tags.from_json(content)
    found = ImportedRuns.of(
        open_npy(root / MASKS, axes=2), open_npy(root / OUTPUTS, axes=2), tags
    )
    return replace(found, tags=tags)


def save_release(
    runs: ImportedRuns, folder: Path, *, dataset: str, percent: int, split: str = "test"
) -> Lost:
    """Write masks and margins in the release's layout and types.

    Args:
        runs: The models.
        folder: The root, which gets `DATASET/data`.
        dataset: The data set's folder.
        percent: The share of examples in a subset, in percent.
        split: "test" or "train".

    Returns:
        What was lost: half precision keeps about three digits.
    """
    data = folder / dataset / "data"
    margins = data / output_name("margins", split, percent)
    rounding = _write(runs, data / mask_name(percent), margins, np.float16)
    return Lost(lost_of_runs(runs), rounding)


def save_datamodels_store(
    runs: ImportedRuns, folder: Path, *, dtype: str = "float16"
) -> Lost:
    """Write a store as the datamodels code keeps it, all rows completed.

    Args:
        runs: The models.
        folder: The store, which gets `spec.json` too.
        dtype: Type of the margins, a name of numpy's.

    Returns:
        What was lost.
    """
    rounding = _write(
        runs, folder / "masks.npy", folder / "margins.npy", np.dtype(dtype)
    )
    with _matrix(folder / f"{COMPLETED}.npy", (runs.n_models,), np.bool_) as flags:
        flags[:] = True
    specification = {
        "num_models": runs.n_models,
        "schema": {
            "masks": {"shape": [runs.n_train], "dtype": "bool_"},
            "margins": {"shape": [len(runs.columns)], "dtype": dtype},
        },
    }
    write_whole(folder / "spec.json", json.dumps(specification, indent=1).encode())
    return Lost(lost_of_runs(runs), rounding)


def save_trak(runs: ImportedRuns, folder: Path) -> Lost:
    """Write `mask.npy` and `val_margins.npy`.

    Returns:
        What was lost: margins are written in single precision.
    """
    rounding = _write(runs, folder / "mask.npy", folder / "val_margins.npy", np.float32)
    return Lost(lost_of_runs(runs), rounding)


def _write(runs: ImportedRuns, masks: Path, outputs: Path, dtype: Any) -> float:
    """Write both matrices and return the outputs' largest change."""
    worst = 0.0
    shape = runs.n_models, len(runs.columns)
    with (
        _matrix(masks, (runs.n_models, runs.n_train), np.bool_) as x,
        _matrix(outputs, shape, dtype) as y,
    ):
        done = 0
        for numbers, block, values in runs.blocks():
            rows = slice(done, done + len(numbers))
            x[rows] = block.astype(np.bool_)
            y[rows], change = rounded(values, dtype, "outputs")
            worst, done = max(worst, change), rows.stop
    return worst


@contextmanager
def _matrix(path: Path, shape: tuple[int, ...], dtype: Any) -> Iterator[np.ndarray]:
    """Map a new `.npy` file, which gets its name when it is full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    make: Callable[..., np.memmap[Any, Any]] = np.lib.format.open_memmap
    with whole_file(path) as partial:
        mapped = make(partial, mode="w+", dtype=np.dtype(dtype), shape=shape)
        yield mapped
        mapped.flush()

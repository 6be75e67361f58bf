"""Matrices that are copied block by block, and gone on with where a copy ended."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dmtheory.interchange.files.npy import open_npy
from dmtheory.interchange.files.places import Place
from dmtheory.interchange.files.texts import read_json
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.using import seeds_of
from dmtheory.whole_files import write_whole

_JOURNAL = ".import.json"


def copy_runs(runs: ImportedRuns, masks: Path, outputs: Path) -> None:
    """Write masks as booleans and outputs as float64; both appear whole.

    A journal beside them says how many rows are written. A copy of the same rows that
    was interrupted goes on behind them, so that no row is fetched twice but those of
    the block that was interrupted.

    Args:
        runs: The models.
        masks: The `.npy` file of masks.
        outputs: The `.npy` file of outputs, in the same folder.

    Raises:
        ValueError: If a mask is not 0 and 1 or an output is not finite; nothing is
            left then.
    """
    masks.parent.mkdir(parents=True, exist_ok=True)
    journal = masks.parent / _JOURNAL
    partial = [path.with_name(f".{path.name}.partial") for path in (masks, outputs)]
    shapes = [(runs.n_models, runs.n_train), (runs.n_models, len(runs.columns))]
    identity = _identity(runs)
    done = _rows_done(journal, identity, partial, shapes)
    try:
        x, y = (
            np.lib.format.open_memmap(
                path, mode="r+" if done else "w+", dtype=dtype, shape=shape
            )
            for path, dtype, shape in zip(
                partial, (np.bool_, np.float64), shapes, strict=True
            )
        )
        if done < runs.n_models:
            rest = replace(runs, numbers=runs.numbers[done:])
            for numbers, block, values in rest.blocks():
                rows = slice(done, done + len(numbers))
                x[rows], y[rows] = block.astype(np.bool_), values
                x.flush()
                y.flush()
                done = rows.stop
                content = json.dumps({"identity": identity, "rows": done})
                write_whole(journal, content.encode())
    except ValueError:
        for path in (*partial, journal):
            path.unlink(missing_ok=True)
        raise
    for path, whole in zip(partial, (masks, outputs), strict=True):
        path.replace(whole)
    journal.unlink(missing_ok=True)


def _identity(runs: ImportedRuns) -> str:
    """Return a text that tells these rows of this file from others."""
    found = hashlib.sha256(json.dumps(runs.tags.to_json()).encode())
    found.update(str((min(seeds_of(runs)), runs.outputs.shape)).encode())
    for numbers in (runs.numbers, runs.columns):
        found.update(numbers.astype("<i8").tobytes())
    return found.hexdigest()


def _rows_done(
    journal: Path, identity: str, partial: list[Path], shapes: list[tuple[int, int]]
) -> int:
    """Return the rows of the same copy that are written, 0 where there are none."""
    try:
        whole = [open_npy(Place.of(path)).shape for path in partial] == shapes
        found: Any = read_json(journal)
    except ValueError:
        return 0
    if not whole or not isinstance(found, dict) or found.get("identity") != identity:
        return 0
    rows = found.get("rows")
    return rows if type(rows) is int and 0 < rows <= shapes[0][0] else 0

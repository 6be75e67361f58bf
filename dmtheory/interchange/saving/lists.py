"""Imported models as lists of examples, as dattri, quanda and bergson keep them."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import torch

from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.saving.lost import Lost, lost_of_runs
from dmtheory.whole_files import write_whole


def save_dattri_lds(runs: ImportedRuns, folder: Path) -> Lost:
    """Write `indices_lds.pt` and `target_values_lds.pt`, the values negated.

    Returns:
        What was lost.

    Raises:
        ValueError: If subsets are not of one size, which its tensor needs.
    """
    masks, outputs = runs.all_rows()
    sizes = masks.sum(1)
    if bool((sizes != sizes[0]).any()):
        raise ValueError(
            "masks must hold subsets of one size for dattri's tensor of indices, got "
            f"{int(sizes.min())} to {int(sizes.max())}"
        )
    indices = masks.nonzero()[:, 1].reshape(len(masks), -1)
    _save_tensor(indices, folder / "indices_lds.pt")
    _save_tensor(-outputs, folder / "target_values_lds.pt")
    return Lost((*lost_of_runs(runs), "number of examples"))


def save_quanda(runs: ImportedRuns, folder: Path) -> Lost:
    """Write `lds_subsets.yaml`, and the outputs as `outputs.npy`.

    Returns:
        What was lost.
    """
    lines = []
    for numbers in runs.number_blocks():
        for mask in runs.read_masks(numbers):
            lines.append(f"- {np.flatnonzero(mask).tolist()}\n")
    write_whole(folder / "lds_subsets.yaml", "".join(lines).encode())
    # Row by row, since others read a range of rows.
    outputs = np.ascontiguousarray(runs.read_outputs(runs.numbers))
    write_whole(folder / "outputs.npy", lambda file: np.save(file, outputs))
    return Lost((*lost_of_runs(runs), "number of examples"))


def save_bergson(runs: ImportedRuns, folder: Path) -> Lost:
    """Write `subsets.json` of left-out examples and `validation.csv`.

    diff is minus the output, so that the output is to be a loss; a full model's is
    taken as 0. There are no scores to sum.

    Returns:
        What was lost.
    """
    left_out: list[list[int]] = []
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["subset", "query", "diff", "score_sum"])
    for _, masks, outputs in runs.blocks():
        for mask, values in zip(masks, outputs, strict=True):
            for query, value in enumerate(values.tolist()):
                writer.writerow([len(left_out), query, repr(-value), "nan"])
            left_out.append(np.flatnonzero(mask == 0).tolist())
    write_whole(folder / "subsets.json", json.dumps(left_out).encode())
    write_whole(folder / "validation.csv", table.getvalue().encode())
    return Lost((*lost_of_runs(runs), "number of examples", "scores of subsets"))


def _save_tensor(tensor: torch.Tensor, path: Path) -> None:
    write_whole(path, lambda file: torch.save(tensor.contiguous(), file))

"""A copy of masks and outputs that ends early goes on where it ended."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dmtheory.interchange import (
    ImportedRuns,
    Tags,
    open_arrays,
    save_arrays,
)
from dmtheory.interchange.imported import restarting
from dmtheory.interchange.imported import runs as runs_module
from dmtheory.interchange.imported.rows import ArrayRows

N, M, T = 10, 95, 3


class Counted:
    """Rows that remember which of them were read, and end the process at one."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.read_rows, self.ends_at = array, [], -1

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def read(self, start: int, stop: int) -> np.ndarray:
        if start <= self.ends_at < stop:
            raise KeyboardInterrupt
        self.read_rows += range(start, stop)
        return self.array[start:stop]


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> tuple[Counted, ImportedRuns]:
    monkeypatch.setattr(runs_module, "_BLOCK_ENTRIES", 10 * N)
    rng = np.random.default_rng(0)
    outputs = Counted(rng.normal(size=(M, T)))
    masks = ArrayRows(rng.random((M, N)) < 0.5)
    tags = Tags(source="test", problem="p", output="margin", held_out=(80, M))
    return outputs, ImportedRuns.of(masks, outputs, tags)


def interrupted(outputs: Counted, runs: ImportedRuns, folder: Path, row: int) -> None:
    outputs.ends_at = row
    with pytest.raises(KeyboardInterrupt):
        save_arrays(runs, folder)
    outputs.ends_at = -1
    outputs.read_rows.clear()


def agrees(folder: Path, runs: ImportedRuns) -> None:
    found, wanted = open_arrays(folder).all_rows(), runs.all_rows()
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert sorted(path.name for path in folder.iterdir()) == [
        "masks.npy",
        "outputs.npy",
        "tags.json",
    ]


@pytest.mark.parametrize("row", [3, 25, 94])
def test_rows_that_were_copied_are_not_read_again(
    tmp_path: Path, source: tuple[Counted, ImportedRuns], row: int
) -> None:
    outputs, runs = source
    interrupted(outputs, runs, tmp_path, row)
    # Half a copy is none.
    with pytest.raises(ValueError, match=r"file must exist, got .*tags\.json"):
        open_arrays(tmp_path)
    save_arrays(runs, tmp_path)
    assert outputs.read_rows == list(range(row // 10 * 10, M))
    agrees(tmp_path, runs)
    assert open_arrays(tmp_path).tags.held_out == (80, M)


def test_the_copy_of_other_rows_starts_anew(
    tmp_path: Path, source: tuple[Counted, ImportedRuns]
) -> None:
    outputs, runs = source
    others = {
        "rows": runs.rows(0, 90),
        "targets": runs.targets(1, 3),
        "tags": replace(runs, tags=replace(runs.tags, problem="q")),
        "masks": replace(runs, masks=ArrayRows(~runs.masks.array)),  # type: ignore
    }
    for name, other in others.items():
        interrupted(outputs, runs, tmp_path / name, 55)
        save_arrays(other, tmp_path / name)
        assert outputs.read_rows[0] == 0
        agrees(tmp_path / name, other)


def test_a_journal_of_nonsense_is_not_followed(
    tmp_path: Path, source: tuple[Counted, ImportedRuns]
) -> None:
    outputs, runs = source
    journal = tmp_path / ".import.json"
    for content in ("{", "[]", '{"rows": 50}', '{"identity": "x", "rows": 50}'):
        interrupted(outputs, runs, tmp_path, 55)
        journal.write_text(content)
        save_arrays(runs, tmp_path)
        assert outputs.read_rows[0] == 0
    # Nor one of the same rows that counts none, or has lost its files.
    for rows in (-1, "7", M + 1):
        interrupted(outputs, runs, tmp_path, 55)
        identity = restarting._identity(runs)
        journal.write_text(json.dumps({"identity": identity, "rows": rows}))
        save_arrays(runs, tmp_path)
        assert outputs.read_rows[0] == 0
        agrees(tmp_path, runs)
    interrupted(outputs, runs, tmp_path, 55)
    (tmp_path / ".outputs.npy.partial").unlink()
    save_arrays(runs, tmp_path)
    agrees(tmp_path, runs)


def test_a_bad_row_leaves_nothing(
    tmp_path: Path, source: tuple[Counted, ImportedRuns]
) -> None:
    outputs, runs = source
    outputs.array[62, 1] = np.nan
    with pytest.raises(ValueError, match="row 62, column 1"):
        save_arrays(runs, tmp_path)
    assert not list(tmp_path.iterdir())
    save_arrays(runs.without_rows(62, 63), tmp_path)
    agrees(tmp_path, runs.without_rows(62, 63))

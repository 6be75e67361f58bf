"""fast_l1's log: chunks, columns in the order of each row, epochs that ended early."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dmtheory.cli import cli
from dmtheory.interchange import open_regression_log
from dmtheory.interchange.peers.regression_log import FIELDS

EPOCHS, T, CHUNK = 7, 5, 3
RNG = np.random.default_rng(0)
TRUTH = {name: RNG.random((EPOCHS, T)).astype("f4") for name in FIELDS}
# A target is finished from some epoch on; one never is.
ACTIVE = np.arange(EPOCHS)[:, None] < np.array([2, 4, 5, 6, 99])
TRUTH["still_optimizing_outer"] = ACTIVE
TRUTH["done_optimizing_inner"] = ~ACTIVE
TRUTH["train_mse"][~ACTIVE] = 0
TRUTH["val_mse"][:2] = np.inf


def write_log(folder: Path) -> None:
    """Write rows as the library does: each with columns in an order of its own."""
    folder.mkdir()
    orders = np.stack([RNG.permutation(T) for _ in range(EPOCHS)])
    lines = ["field,max_chunk,counter\n"]
    rows = {**TRUTH, "index_mapping": np.tile(np.arange(T), (EPOCHS, 1))}
    for name, values in rows.items():
        permuted = np.take_along_axis(values, orders, axis=1)
        for chunk in range(EPOCHS // CHUNK + 1):
            part = np.zeros((CHUNK, T), dtype=values.dtype)
            some = permuted[chunk * CHUNK : (chunk + 1) * CHUNK]
            part[: len(some)] = some
            np.save(folder / f"{name}_{chunk}.npy", part)
        lines.append(f"{name},{EPOCHS // CHUNK},{EPOCHS % CHUNK}\n")
    (folder / "metadata.csv").write_text("".join(lines))


def test_columns_come_back_in_the_order_of_the_targets(tmp_path: Path) -> None:
    write_log(tmp_path / "log")
    log = open_regression_log(tmp_path / "log")
    assert (log.n_epochs, log.n_targets) == (EPOCHS, T)
    for name in FIELDS:
        expected = TRUTH[name].astype(np.float64)
        if name == "train_mse":
            # What is logged of a finished target is no error.
            expected = np.where(ACTIVE, expected, np.nan)
        if name == "val_mse":
            expected[:2] = np.nan
        # Over the border of two chunks, and within one.
        for start, stop in ((0, EPOCHS), (2, 4), (6, 7)):
            found = log.read(name, start, stop)
            assert np.array_equal(found, expected[start:stop], equal_nan=True), name
        assert np.array_equal(log.last(name), expected[-1], equal_nan=True)
    with pytest.raises(ValueError, match=r"epochs must lie in \[0, 7\)"):
        log.read("lambda", 0, 8)
    with pytest.raises(ValueError, match="field must be one of"):
        log.read("index_mapping", 0, 1)


def test_an_epoch_of_which_only_some_fields_were_logged_does_not_count(
    tmp_path: Path,
) -> None:
    write_log(tmp_path / "log")
    path = tmp_path / "log" / "metadata.csv"
    path.write_text(path.read_text().replace("index_mapping,2,1", "index_mapping,2,0"))
    assert open_regression_log(tmp_path / "log").n_epochs == EPOCHS - 1


def test_the_command_line_says_where_a_path_ended(tmp_path: Path) -> None:
    write_log(tmp_path / "log")
    result = CliRunner().invoke(
        cli, ["import", str(tmp_path / "log"), "--format", "regression-log", "--json"]
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.output)
    assert (said["epochs"], said["targets"], said["unfinished"]) == (EPOCHS, T, 1)
    assert said["median best penalty"] == pytest.approx(
        np.median(TRUTH["best_lambda"][-1])
    )


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("metadata.csv", lambda b: b[:-1], "cut short"),
        ("metadata.csv", lambda b: b.replace(b"lambda,2,1", b"lambda,-2,1"), "once"),
        ("metadata.csv", lambda b: b.replace(b"deltas", b"lambda"), "once"),
        ("metadata.csv", lambda b: b.replace(b"deltas,", b"other,"), "must name the"),
        (
            "metadata.csv",
            lambda b: b.replace(b"deltas,2,1", b"deltas,2,9"),
            "at most 3",
        ),
        ("metadata.csv", lambda b: b.replace(b"s,2,1", b"s,3,0"), "file must exist"),
        ("deltas_1.npy", lambda b: b[:-4], "cut short"),
        ("deltas_0.npy", lambda b: b.replace(b"<f4", b"<i4"), "must hold float32"),
    ],
)
def test_damaged_logs_are_refused(
    tmp_path: Path, name: str, change: object, match: str
) -> None:
    write_log(tmp_path / "log")
    path = tmp_path / "log" / name
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ValueError, match=match) as found:
        open_regression_log(tmp_path / "log")
    assert "\n" not in str(found.value)


def test_an_order_that_is_none_is_refused(tmp_path: Path) -> None:
    write_log(tmp_path / "log")
    np.save(tmp_path / "log" / "index_mapping_1.npy", np.zeros((CHUNK, T), dtype="i8"))
    log = open_regression_log(tmp_path / "log")
    log.read("lambda", 0, 3)
    with pytest.raises(ValueError, match="must name every target once"):
        log.read("lambda", 2, 4)

"""What must not be taken in silence, and what must not be read."""

import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_release import EVALUATION, FIT, fixed_size_masks, write_release

from dmtheory import Point, fit_datamodel
from dmtheory.interchange import (
    ImportedRuns,
    Tags,
    check_release,
    load_quanda_subsets,
    load_safetensors,
    open_bergson,
    open_datamodels_store,
    open_matrices,
    open_release,
    open_release_logits,
    responses_of_runs,
    save_quanda,
)
from dmtheory.interchange.files import archives
from dmtheory.interchange.files.archives import load_npz
from dmtheory.interchange.files.npy import parse_header
from dmtheory.interchange.files.places import Place
from dmtheory.interchange.files.texts import read_json, read_table
from dmtheory.interchange.files.torch_files import load_tensor, load_tensors
from dmtheory.interchange.imported import runs as runs_module
from dmtheory.interchange.imported.rows import ArrayRows

STATED = {"problem": "p", "output": "margin"}


def refused(call: Callable[[], object], match: str) -> None:
    with pytest.raises(ValueError, match=match) as found:
        call()
    assert "\n" not in str(found.value)


def some_runs(n: int = 40) -> ImportedRuns:
    rng = np.random.default_rng(0)
    return ImportedRuns.of(
        ArrayRows(fixed_size_masks(rng, n, 6, 3)),
        ArrayRows(rng.normal(size=(n, 4))),
        Tags(source="test", **STATED),
    )


@pytest.mark.parametrize("bad", [(-5, 3), (3, 3), (5, 2), (38, 41), (0, 10**9)])
def test_ranges_are_of_the_file(bad: tuple[int, int]) -> None:
    runs = some_runs()
    for call in (runs.rows, runs.without_rows):
        refused(lambda call=call: call(*bad), r"rows must lie within \[0, 40\)")
    refused(lambda: runs.split(bad), r"rows must lie within|held_out")
    refused(
        lambda: ImportedRuns.of(
            runs.masks, runs.outputs, Tags(source="t", **STATED, held_out=bad)
        ),
        r"held_out must lie within \[0, 40\)",
    )
    refused(lambda: runs.targets(*bad), r"targets must lie within \[0, 4\)")


@pytest.mark.parametrize("kind", ["|f8", "=f4", "|i2", "|u8"])
def test_an_order_of_bytes_that_is_not_stated_is_not_guessed(kind: str) -> None:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': (2,)}}".encode()
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    refused(lambda: parse_header(content, name="x"), "plain numbers")


def test_files_of_the_other_byte_order_are_read_and_noted(tmp_path: Path) -> None:
    written = write_release(tmp_path)
    path = tmp_path / "cifar" / "data" / "test_margins_50pct.npy"
    np.save(path, written.margins.astype(">f2"))
    runs = open_release(tmp_path, dataset="cifar", percent=50)
    assert np.array_equal(runs.all_rows()[1].numpy(), written.margins.astype("f8"))
    found = [f for f in check_release(path) if f.level == "noted"]
    assert "high byte first" in found[0].text


def test_columns_first_are_read_as_they_are(tmp_path: Path) -> None:
    runs = some_runs()
    masks, outputs = (t.numpy() for t in runs.all_rows())
    np.save(tmp_path / "x.npy", np.asfortranarray(masks.astype(bool)))
    np.save(tmp_path / "y.npy", np.asfortranarray(outputs))
    found = open_matrices(tmp_path / "x.npy", tmp_path / "y.npy", **STATED)
    x, y = found.rows(7, 20).all_rows()
    assert np.array_equal(x.numpy(), masks[7:20])
    assert np.array_equal(y.numpy(), outputs[7:20])


def test_rows_that_were_never_written_are_found(tmp_path: Path) -> None:
    """A memory map that was cut off has its length, and zeros in the holes."""
    write_release(tmp_path)
    data = tmp_path / "cifar" / "data"
    for name, n in (("train_masks_50pct.npy", 3), ("test_margins_50pct.npy", 5)):
        array = np.load(data / name)
        array[-n:] = 0
        np.save(data / name, array)
    bad = {f.text for f in check_release(tmp_path) if f.level == "bad"}
    assert any("1 subsets are empty" in text for text in bad)
    assert any("5 rows are zeros throughout" in text for text in bad)
    # Sizes that vary in such a way follow no law, so nothing is fitted.
    assert open_release(tmp_path, dataset="cifar", percent=50).tags.law is None


def test_bytes_of_a_boolean_that_are_none_are_named(tmp_path: Path) -> None:
    runs = some_runs()
    masks = runs.all_rows()[0].numpy().astype(bool)
    np.save(tmp_path / "masks.npy", masks)
    np.save(tmp_path / "margins.npy", np.ones((40, 2), dtype="f2"))
    flags = np.ones(40, dtype=bool)
    np.save(tmp_path / "_completed.npy", flags)
    content = bytearray((tmp_path / "_completed.npy").read_bytes())
    content[128 + 4] = 2
    (tmp_path / "_completed.npy").write_bytes(bytes(content))
    refused(lambda: open_datamodels_store(tmp_path, problem="p"), "got 2 in row 4")
    np.save(tmp_path / "o.npy", masks[:, :2])
    content = bytearray((tmp_path / "o.npy").read_bytes())
    content[128 + 3] = 9
    (tmp_path / "o.npy").write_bytes(bytes(content))
    found = open_matrices(tmp_path / "masks.npy", tmp_path / "o.npy", **STATED)
    refused(found.all_rows, "in row 1, column 1")


def test_texts_that_were_cut_short_or_say_things_twice(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text('{"a": 1, "a": 2}')
    refused(lambda: read_json(path), "names a key twice")
    path.write_text("[" + "9" * 5000 + "]")
    refused(lambda: read_json(path), "x must be JSON")
    for text, match in (
        ("a,b\n1,2\n3,4", "cut short"),
        ("a,a\n1,2\n", "name columns once"),
        ("a,b\n1,2\n3\n", "2 entries a line"),
        ("a,b\nnan,1\n", "finite"),
    ):
        path.write_text(text)
        refused(lambda: read_table(Place.of(path), ("a",)), match)


def test_lists_of_quanda_in_either_style(tmp_path: Path) -> None:
    """Its own files are of dashes, or in brackets without the end of the line."""
    pytest.importorskip("yaml")
    path = tmp_path / "lds_subsets.yaml"
    for text in ("- - 0\n  - 1\n- - 2\n  - 12\n", "[[0, 1], [2, 12]]"):
        path.write_text(text)
        found = load_quanda_subsets(path, n_train=13)
        assert [np.flatnonzero(m).tolist() for m in found.read(0, 2)] == [
            [0, 1],
            [2, 12],
        ]
    path.write_text("- - 0\n  - 1\n- - 2\n  - 1")
    refused(lambda: load_quanda_subsets(path, n_train=13), "cut short")
    path.write_text("- - 0\n  - 1\n- - 3\n  - 4\n- - 2\n")
    refused(lambda: load_quanda_subsets(path, n_train=13), "1 examples in the last")


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """Such archives unfold to the square of their length."""
    path = tmp_path / "x.npz"
    content = np.random.default_rng(0).bytes(4000)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", content)
        for k in range(3):
            info = zipfile.ZipInfo(f"b{k}.npy")
            info.header_offset = 0
            info.CRC, info.file_size = archive.infolist()[0].CRC, len(content)
            info.compress_size = len(content)
            archive.filelist.append(info)
            archive.NameToInfo[info.filename] = info
        archive._didModify = True
    refused(lambda: load_npz(path, ("a",)), "bytes of each member once")


def test_zeros_that_unfold_to_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros(2**20))
    assert path.stat().st_size < 2**14
    load_npz(path, ("a",))
    # A thousandfold is let through up to 256 MiB, here up to one.
    assert archives._LARGE == 2**28
    monkeypatch.setattr(archives, "_LARGE", 2**20)
    refused(lambda: load_npz(path, ("a",)), "must unfold to at most")


def test_tensors_lie_where_their_archive_says(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    whole = torch.arange(60.0).reshape(6, 10)
    content = {"rows": whole[2:5], "columns": whole.T, "part": whole[:, 3:5]}
    torch.save(content, path)
    for key in ("rows", "columns"):
        rows = load_tensors(path, {key: 2})[key]
        assert np.array_equal(rows.read(1, 3), content[key][1:3].numpy())
    refused(lambda: load_tensors(path, {"part": 2}), "row by row or column by column")
    torch.save(torch.ones(3).expand(4, 3), path)
    refused(lambda: load_tensor(path, axes=(2,)), "an entry for each place")


# Seventeen and six gigabytes that take no room: headers, and holes.
_MODELS, _TRAIN, _TARGETS = 310_000, 50_000, 10_000


def hollow(path: Path, shape: tuple[int, ...], dtype: str) -> Path:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": dtype, "fortran_order": False, "shape": shape}
        )
        offset = file.tell()
    size = offset + int(np.prod(shape)) * np.dtype(dtype).itemsize
    with path.open("r+b") as file:
        file.truncate(size)
    return path


def test_large_files_are_opened_without_being_read(tmp_path: Path) -> None:
    masks = hollow(tmp_path / "x.npy", (_MODELS, _TRAIN), "|b1")
    margins = hollow(tmp_path / "y.npy", (_MODELS, _TARGETS), "<f2")
    assert masks.stat().st_size > 15e9 and margins.stat().st_size > 6e9
    tracemalloc.start()
    try:
        runs = open_matrices(masks, margins, **STATED)
        opened = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        x, y = runs.rows(200_000, 200_010).all_rows()
        read = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Its law is told from 2,048 masks, 102 MB that are read in blocks of 17.
    assert runs.tags.law is None
    assert opened < 120e6, opened
    assert (x.shape, y.shape) == ((10, _TRAIN), (10, _TARGETS))
    assert read < 40e6, read


def test_blocks_are_small_where_outputs_are_wide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits of a model are ten numbers a target, and count as such."""
    write_release(tmp_path)
    runs = open_release_logits(
        tmp_path, classes=np.arange(5), dataset="cifar", percent=50
    )
    monkeypatch.setattr(runs_module, "_BLOCK_ENTRIES", 1000)
    # 5 targets of 10 classes are 50 entries, more than the 24 of a mask.
    assert {len(numbers) for numbers in runs.number_blocks()} == {20}
    assert sum(len(n) for n in runs.number_blocks()) == FIT + EVALUATION


def test_a_fit_of_imported_responses_names_their_law(tmp_path: Path) -> None:
    write_release(tmp_path)
    runs = open_release(tmp_path, dataset="cifar", percent=50)
    fitted = fit_datamodel(responses_of_runs(runs))
    assert fitted.estimand.point == Point("subsets", 0.5, "fixed size")


# Bytes changed at random: refused in one line, or read as what they then say.


@settings(max_examples=60)
@given(data=st.data())
def test_changed_lists_tables_and_headers_are_refused_or_sound(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "changed"
    if not folder.exists():
        write_sound(folder)
    name = data.draw(st.sampled_from(sorted(READ)))
    sound = (folder / name).read_bytes()
    content = bytearray(sound)
    content[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([0, 0, 1, 2, 30]))
    (folder / name).write_bytes(bytes(content[: len(content) - cut]))
    try:
        READ[name](folder)
    except ValueError as error:
        assert "\n" not in str(error)
    finally:
        (folder / name).write_bytes(sound)


def write_sound(folder: Path) -> None:
    folder.mkdir(parents=True)
    runs = some_runs(12)
    save_quanda(runs, folder)
    left_out = [np.flatnonzero(m == 0).tolist() for m in runs.all_rows()[0].numpy()]
    (folder / "subsets.json").write_text(json.dumps(left_out))
    lines = [f"{k},{-0.25 * k},{k}\r\n" for k in range(12)]
    (folder / "validation.csv").write_text("subset,diff,score_sum\r\n" + "".join(lines))
    header = json.dumps({
        "scores": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    }).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(range(16))
    (folder / "x.safetensors").write_bytes(content)


READ: dict[str, Callable[[Path], object]] = {
    "lds_subsets.yaml": lambda f: load_quanda_subsets(
        f / "lds_subsets.yaml", n_train=6
    ).read(0, 2),
    "subsets.json": lambda f: open_bergson(
        f / "subsets.json", f / "validation.csv", n_train=6, problem="p"
    ).all_rows(),
    "validation.csv": lambda f: open_bergson(
        f / "subsets.json", f / "validation.csv", n_train=6, problem="p"
    ).all_rows(),
    "x.safetensors": lambda f: load_safetensors(f / "x.safetensors"),
}

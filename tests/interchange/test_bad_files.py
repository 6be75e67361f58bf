"""Bad files are refused in one line; arbitrary bytes neither crash nor pass."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from made_up_release import N_TRAIN, write_release

from dmtheory.interchange import fit_imported, open_feldman_zhang, open_release
from dmtheory.interchange.files.archives import load_npz
from dmtheory.interchange.files.npy import open_npy, parse_header
from dmtheory.interchange.files.pickled_arrays import (
    array_of_pickle,
    load_pickled_array,
)
from dmtheory.interchange.files.places import Place
from dmtheory.interchange.files.tensors import read_safetensors
from dmtheory.interchange.files.torch_files import load_tensor, load_tensors

one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class Ran:
    """A pickle of this creates a file when it is run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def refused(call: Callable[[], object], match: str) -> None:
    with pytest.raises(ValueError, match=match) as found:
        call()
    assert "\n" not in str(found.value)


def npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def opened(path: Path) -> np.ndarray:
    rows = open_npy(Place.of(path, None))
    return rows.read(0, rows.shape[0])


def header(text: str, version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode()


# .npy


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", "plain numbers"),
        ("{'descr': '<U9', 'fortran_order': False, 'shape': (2,)}", "plain numbers"),
        ("{'descr': '<f4,<f4', 'fortran_order': False, 'shape': (2,)}", "plain"),
        (
            "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (2,)}",
            "plain numbers",
        ),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "whole numbers"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}", "whole numbers"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (10**9,)}", "readable"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2**60,)}", "readable"),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (281474976710655,)*1}",
            "readable",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2147483648, 9)}",
            "cut short",
        ),
        ("{'descr': '<f4', 'fortran_order': 1, 'shape': (2,)}", "must state"),
        ("{'descr': '<f4', 'shape': (2,)}", "must state"),
        ("__import__('os').getcwd()", "readable header"),
        ("(" * 5000, "readable header"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", "must hold rows"),
    ],
)
def test_headers_are_not_trusted(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(header(text) + b"\0" * 8)
    refused(lambda: opened(path), match)


@pytest.mark.parametrize("change", [-1, 1, -4, 4, 100])
def test_a_file_is_as_long_as_it_says(tmp_path: Path, change: int) -> None:
    path = tmp_path / "x.npy"
    content = npy_bytes(np.ones((5, 3), dtype=np.float32))
    path.write_bytes(content[:change] if change < 0 else content + b"\0" * change)
    refused(lambda: opened(path), "cut short" if change < 0 else "more than it says")


def test_an_object_array_is_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.array([Ran(tmp_path / "ran")], dtype=object), allow_pickle=True)
    refused(lambda: opened(path), "plain numbers")
    np.savez(tmp_path / "x.npz", a=np.array([Ran(tmp_path / "ran")], dtype=object))
    refused(lambda: load_npz(tmp_path / "x.npz", ("a",)), "plain numbers")
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for call in (
        lambda: opened(tmp_path / "no.npy"),
        lambda: load_npz(tmp_path / "no.npy", ("a",)),
        lambda: load_tensor(tmp_path / "no.npy", axes=(2,)),
        lambda: load_pickled_array(tmp_path / "no.npy"),
        lambda: read_safetensors(tmp_path / "no.npy", ("a",)),
    ):
        refused(call, r"file must exist, got .*no\.npy")


numbers = st.sampled_from(["?", "i1", "<i4", ">i2", "<u8", "<f2", ">f4", "<f8"])


@one_folder
@given(
    kind=numbers,
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    fortran=st.booleans(),
    seed=st.integers(0, 9),
)
def test_every_plain_array_of_numpy_is_read_as_it_is(
    tmp_path: Path, kind: str, shape: list[int], fortran: bool, seed: int
) -> None:
    drawn = np.random.default_rng(seed).integers(0, 2, shape).astype(kind)
    array = np.asfortranarray(drawn) if fortran else drawn
    np.save(tmp_path / "x.npy", array)
    found = opened(tmp_path / "x.npy")
    assert found.dtype == array.dtype and np.array_equal(found, array)
    np.savez_compressed(tmp_path / "x.npz", a=array)
    assert np.array_equal(load_npz(tmp_path / "x.npz", ("a",))["a"], array)
    content = pickle.dumps(array, protocol=seed % 3 + 2)
    assert np.array_equal(array_of_pickle(content, name="x"), array)


SOUND = npy_bytes(np.arange(6, dtype=np.float32).reshape(2, 3))


@settings(max_examples=300)
@given(
    place=st.integers(0, 127), byte=st.integers(0, 255), cut=st.integers(0, len(SOUND))
)
@example(place=6, byte=9, cut=0)
def test_a_changed_header_is_refused_or_says_what_numpy_says(
    place: int, byte: int, cut: int
) -> None:
    content = bytearray(SOUND)
    content[place] = byte
    changed = bytes(content[: len(content) - cut])
    try:
        found = parse_header(changed, name="x")
    except ValueError as error:
        assert "\n" not in str(error)
        return
    # What is accepted numpy reads alike, or refuses; it is never larger than it says.
    try:
        theirs = np.lib.format.open_memmap
        stream = io.BytesIO(changed)
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(stream)
    except (ValueError, AssertionError):
        return
    assert theirs is not None
    assert (found.shape, found.fortran, found.dtype) == (shape, fortran, dtype)
    assert found.offset == stream.tell()


@settings(max_examples=200)
@given(content=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(content: bytes) -> None:
    for call in (
        lambda: parse_header(content, name="x"),
        lambda: parse_header(b"\x93NUMPY\x01\x00" + content, name="x"),
        lambda: array_of_pickle(content, name="x"),
        lambda: array_of_pickle(b"\x80\x02" + content, name="x"),
    ):
        with pytest.raises(ValueError) as found:
            call()
        assert "\n" not in str(found.value)


# Pickles.


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    ran = Ran(tmp_path / "ran")
    inside = np.array([[ran]], dtype=object)
    for evil in (ran, inside, {"weight": ran}, [np.ones((2, 2)), ran]):
        torch.save(evil, tmp_path / "x.pt")
        refused(lambda: load_pickled_array(tmp_path / "x.pt"), "was not run")
        refused(lambda: load_tensor(tmp_path / "x.pt", axes=(2,)), "weights_only")
        refused(lambda: load_tensors(tmp_path / "x.pt", {"weight": 2}), "weights_only")
        for protocol in range(2, 5):
            (tmp_path / "x.pkl").write_bytes(pickle.dumps(evil, protocol=protocol))
            refused(lambda: load_pickled_array(tmp_path / "x.pkl"), "was not run")
    assert not (tmp_path / "ran").exists()


PICKLE = pickle.dumps(np.arange(6, dtype=np.int32).reshape(2, 3), protocol=2)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        # A memory of four billion places, an array of bytes of the file's choice.
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "memorises too much"),
        (b"\x80\x05\x96\xff\xff\xff\xff\x00\x00\x00\x00.", "was not run"),
        (b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", "names os.system"),
        (b"\x80\x02cnumpy\nload\n.", "names numpy.load"),
        (b"\x80\x02cnumpy\nndarray\n.", "it is no array"),
        (b"\x80\x02cnumpy\ndtype\nX\x01\x00\x00\x00O\x85R.", "it is no array"),
        (b"\x80\x02(lp0\n.", "instruction"),
        (PICKLE + b"\x80\x02N.", "more follows"),
        (PICKLE.replace(b"i4", b"O8"), "of type 'O8'"),
        (PICKLE.replace(b"i4", b"V4"), "of type 'V4'"),
        (PICKLE.replace(b"K\x02K\x03", b"K\x02K\x04"), "other than 24 bytes"),
    ],
)
def test_instructions_that_no_array_needs_are_refused(
    content: bytes, match: str
) -> None:
    assert content != PICKLE
    refused(lambda: array_of_pickle(content, name="x"), match)


@settings(max_examples=300)
@given(place=st.integers(0, len(PICKLE) - 1), byte=st.integers(0, 255))
def test_a_changed_pickle_is_refused_or_is_an_array(place: int, byte: int) -> None:
    content = bytearray(PICKLE)
    content[place] = byte
    try:
        found = array_of_pickle(bytes(content), name="x")
    except ValueError as error:
        assert "\n" not in str(error)
        return
    # A changed byte may be a number's, its type's or the shape's; never an object.
    assert found.dtype.kind in "biuf" and found.nbytes == 24


# .pt


def test_truncated_or_packed_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(torch.ones(50, 4), path)
    content = path.read_bytes()
    for cut in (1, 30, 300, len(content) - 10):
        path.write_bytes(content[:-cut])
        refused(lambda: load_tensor(path, axes=(2,)), "zip archive|sound")
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name in source.namelist():
                packed.writestr(name, source.read(name))
    refused(lambda: load_tensor(path, axes=(2,)), "must store members plainly")
    torch.save({"weight": torch.ones(3)}, path)
    refused(lambda: load_tensors(path, {"weight": 2}), "must have 2 axes")
    refused(lambda: load_tensors(path, {"bias": 1}), "must hold bias, got .'weight'")
    refused(lambda: load_tensor(path, axes=(1,)), "must be a tensor, got dict")
    torch.save(torch.ones(3, 3).to_sparse(), path)
    refused(lambda: load_tensor(path, axes=(2,)), "must be a tensor|weights_only")
    torch.save(torch.ones(3, 3, dtype=torch.complex64), path)
    refused(lambda: load_tensor(path, axes=(2,)), "of plain numbers")


TENSORS = io.BytesIO()
torch.save({"weight": torch.arange(6.0).reshape(2, 3)}, TENSORS)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.integers(0, len(TENSORS.getvalue()) - 1),
    byte=st.integers(0, 255),
    cut=st.sampled_from([0, 0, 0, 1, 64, 500]),
)
def test_a_changed_tensor_file_is_refused_or_is_a_tensor(
    tmp_path: Path, place: int, byte: int, cut: int
) -> None:
    content = bytearray(TENSORS.getvalue())
    content[place] = byte
    path = tmp_path / "x.pt"
    path.write_bytes(bytes(content[: len(content) - cut]))
    try:
        found = load_tensors(path, {"weight": 2})["weight"]
    except ValueError as error:
        assert "\n" not in str(error)
        return
    # No tensor is larger than what the file holds of it.
    assert np.prod(found.shape) * found.header.dtype.itemsize <= 24
    assert found.read(0, found.shape[0]).shape == found.shape


# Archives.


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "name", ["../a.npy", "/etc/a.npy", "b/../../a.npy", "..\\a.npy", "c:a.npy"]
)
def test_member_names_stay_inside(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "x.npz", {"a.npy": SOUND, name: SOUND})
    refused(lambda: load_npz(path, ("a",)), "inside itself")


def test_bombs_are_refused_before_they_unfold(tmp_path: Path) -> None:
    large = npy_bytes(np.zeros(2**22, dtype=np.uint8))
    path = zipped(tmp_path / "x.npz", {"a.npy": large})
    # Four megabytes of zeros pack a thousandfold; no more than that is let through.
    assert load_npz(path, ("a",))["a"].sum() == 0
    refused(lambda: load_npz(path, ("a",), most_bytes=2**21), "must unfold to at most")
    many = zipped(tmp_path / "y.npz", {f"{k}.npy": b"" for k in range(5000)})
    refused(lambda: load_npz(many, ("0",)), "at most 4096 members")


def test_a_member_longer_or_shorter_than_stated_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.npz", {"a.npy": SOUND})
    content = path.read_bytes()
    for stated in (10, len(SOUND) + 5):
        old = struct.pack("<I", len(SOUND))
        assert content.count(old) == 2
        path.write_bytes(content.replace(old, struct.pack("<I", stated)))
        refused(lambda: load_npz(path, ("a",)), r"x\.npz")


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.random.default_rng(0).normal(size=50))
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    refused(lambda: load_npz(path, ("a",)), "sound zip archive")
    changed = bytearray(content)
    changed[100] ^= 0xFF
    path.write_bytes(bytes(changed))
    refused(lambda: load_npz(path, ("a",)), "must be sound")
    path.write_bytes(content)
    refused(lambda: load_npz(path, ("b",)), "got no b among")
    with pytest.warns(UserWarning, match="Duplicate"):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("a.npy", SOUND)
    refused(lambda: load_npz(path, ("a",)), "twice")


# Entries.


def release_with(tmp_path: Path, name: str, place: tuple[int, int], value: Any) -> Path:
    write_release(tmp_path)
    path = tmp_path / "cifar" / "data" / name
    array = np.load(path)
    array[place] = value
    np.save(path, array)
    return path


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_named(tmp_path: Path, value: float) -> None:
    release_with(tmp_path, "test_margins_50pct.npy", (70, 2), value)
    runs = open_release(tmp_path, dataset="cifar", percent=50)
    refused(lambda: fit_imported(runs), "in row 70, column 2 of the file")
    fit_imported(runs.without_rows(70, 71))


def test_a_byte_of_a_mask_that_is_no_boolean_is_named(tmp_path: Path) -> None:
    write_release(tmp_path)
    path = tmp_path / "cifar" / "data" / "train_masks_50pct.npy"
    content = bytearray(path.read_bytes())
    content[128 + 5 * N_TRAIN + 3] = 7
    path.write_bytes(bytes(content))
    refused(
        lambda: open_release(tmp_path, dataset="cifar", percent=50),
        "got 7 in row 5, column 3",
    )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"subsample_idx": np.array([0, 0, 1])}, "every example once"),
        ({"subsample_idx": np.array([0, 99])}, r"in \[0, 4\)"),
        ({"correctness_test": np.array([0.5, 1.0])}, "must be 0 or 1"),
        ({"index_test": np.array([0, 5])}, r"in \[0, 2\)"),
        ({"index_removed": np.array([2])}, "every example|index"),
    ],
)
def test_runs_that_contradict_themselves_are_refused(
    tmp_path: Path, change: dict[str, np.ndarray], match: str
) -> None:
    arrays = {
        "subsample_idx": np.array([0, 1]),
        "correctness_train": np.array([1, 0]),
        "index_train": np.array([0, 1]),
        "correctness_removed": np.array([1, 0]),
        "index_removed": np.array([2, 3]),
        "correctness_test": np.array([1, 0]),
        "index_test": np.array([1, 0]),
    }
    for run in ("0", "1"):
        (tmp_path / run).mkdir()
        np.savez(tmp_path / run / "aux_arrays.npz", **{**arrays, **change})
    refused(lambda: open_feldman_zhang(tmp_path, problem="p").all_rows(), match)

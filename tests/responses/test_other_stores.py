"""Places that hold no run, another run or a newer one: refused and left alone."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zarr
from counting import Counting
from zarr.storage import LocalStore, MemoryStore

from dmtheory.designs import Bernoulli, ComplementaryPairs
from dmtheory.problems import BlackBox
from dmtheory.responses.collect import collect, collect_into
from dmtheory.responses.responses import load_responses, open_dataset
from dmtheory.responses.store import FORMAT, StoreError

DESIGN = Bernoulli(p=0.5, n_models=12, seed=1)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return every path below a folder, with content and time of change."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else b"folder",
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


def write(location: Any, **changes: Any) -> None:
    given = {"design": DESIGN, "block": 5, **changes}
    collect_into(location, given.pop("problem", Counting()), **given)


READERS: list[Callable[[Any], Any]] = [load_responses, open_dataset]
# A file as old as this would be swept from a store of ours.
OLD = (0, 0)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write(tmp_path / "store")
    leftover = tmp_path / "store" / "outputs" / "zarr.0123456789abcdef.partial"
    leftover.write_bytes(b"half")
    os.utime(leftover, OLD)
    return tmp_path / "store"


@pytest.mark.parametrize("kind", [Path, str, LocalStore])
@pytest.mark.parametrize("empty", [False, True])
def test_a_missing_store_is_not_made_by_reading(
    kind: Callable[[Path], Any], empty: bool, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    if empty:
        place.mkdir()
    for reader in READERS:
        with pytest.raises(StoreError, match=r"store must exist, got .*place"):
            reader(kind(place))
    assert place.exists() == empty
    assert not snapshot(tmp_path).keys() - {"place"}


@pytest.mark.parametrize("kind", [Path, str, LocalStore])
def test_an_empty_folder_becomes_a_store(
    kind: Callable[[Path], Any], tmp_path: Path
) -> None:
    write(kind(tmp_path))
    assert load_responses(tmp_path).n_models == 12


def test_an_empty_store_in_memory_is_no_run() -> None:
    with pytest.raises(StoreError, match="store must exist"):
        load_responses(MemoryStore())


@pytest.mark.parametrize("kind", [Path, str, LocalStore])
def test_a_folder_of_something_else_is_refused_and_left_alone(
    kind: Callable[[Path], Any], tmp_path: Path
) -> None:
    for name in ("photo.jpg", "download.partial", "c/d.partial", "zarr.x.partial"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
        os.utime(path, OLD)
    before = snapshot(tmp_path)
    with pytest.raises(StoreError, match=r"must be new, an empty folder.* holds c$"):
        write(kind(tmp_path))
    for reader in READERS:
        with pytest.raises(StoreError, match="store must exist"):
            reader(kind(tmp_path))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("kind", [Path, str])
def test_a_file_is_no_store(kind: Callable[[Path], Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(StoreError, match=r"notes\.txt"):
        write(kind(tmp_path / "notes.txt"))
    for reader in READERS:
        with pytest.raises(StoreError, match=r"notes\.txt"):
            reader(kind(tmp_path / "notes.txt"))
    assert snapshot(tmp_path) == before


def test_a_place_below_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(NotADirectoryError, match=r"notes\.txt"):
        write(tmp_path / "notes.txt" / "store")
    with pytest.raises(StoreError, match=r"notes\.txt"):
        load_responses(tmp_path / "notes.txt" / "store")


@pytest.mark.parametrize("content", ["group", "array"])
def test_zarr_data_of_someone_else_is_refused(content: str, tmp_path: Path) -> None:
    if content == "group":
        zarr.create_group(tmp_path / "theirs", attributes={"title": "weather"})
    else:
        zarr.create_array(tmp_path / "theirs", shape=(3,), dtype="float64")
    before = snapshot(tmp_path)
    for attempt in (write, *READERS):
        with pytest.raises(StoreError, match="theirs"):
            attempt(tmp_path / "theirs")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("run", [{"shape": "unknown to us"}, None])
def test_a_store_of_a_newer_version_is_refused(run: Any, store: Path) -> None:
    document = json.loads((store / "zarr.json").read_text())
    document["attributes"]["format"] = FORMAT + 1
    if run is None:
        del document["attributes"]["run"]
    else:
        document["attributes"]["run"] = run
    (store / "zarr.json").write_text(json.dumps(document))
    before = snapshot(store)
    for attempt in (write, *READERS):
        with pytest.raises(
            StoreError, match=r"format 3, newer than 2: update dmtheory"
        ):
            attempt(store)
    assert snapshot(store) == before


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b'{"zarr_format": 3', b"{}"])
def test_a_damaged_group_is_refused(content: bytes, store: Path) -> None:
    (store / "zarr.json").write_bytes(content)
    before = snapshot(store)
    for attempt in (write, *READERS):
        with pytest.raises(StoreError, match="store"):
            attempt(store)
    assert snapshot(store) == before


def renamed_digest(digest: str) -> BlackBox:
    made = Counting()
    return BlackBox(
        description=replace(made.description, digest=digest),
        train_and_measure=made.respond,
    )


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "p": ({"design": Bernoulli(p=0.25, n_models=12, seed=1)}, '"p": 0.25'),
    "seed": ({"design": Bernoulli(p=0.5, n_models=12, seed=2)}, '"seed": 2'),
    "kind": ({"design": ComplementaryPairs(n_pairs=6, seed=1)}, "ComplementaryPairs"),
    "digest": ({"problem": renamed_digest("new")}, "problem_digest .*counting.*new"),
    "targets": ({"problem": Counting(n_targets=3)}, "n_targets is 2 there and 3 here"),
    "dtype": ({"dtype": "float16"}, 'dtype is "float64" there and "float16" here'),
    "block": ({"block": 6}, "block is 5 there and 6 here"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_store_of_another_run_is_refused_by_what_differs(
    other: str, store: Path
) -> None:
    changes, expected = OTHERS[other]
    before = snapshot(store)
    with pytest.raises(StoreError, match=f"another run: .*{expected}.*another store"):
        write(store, **changes)
    assert snapshot(store) == before


@pytest.mark.parametrize(
    "arguments", [{"block": 0}, {"dtype": "int8"}, {"shard": (3, 3)}, {"shard": (0, 0)}]
)
def test_a_wrong_argument_makes_no_store(
    arguments: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} must"):
        write(tmp_path / "store", **arguments)
    assert not (tmp_path / "store").exists()


def test_an_unfinished_run_is_not_loaded_but_opens(tmp_path: Path) -> None:
    write(tmp_path / "store", shard=(1, 2))
    with pytest.raises(
        StoreError, match=r"block 0 \(models 0 to 4\) is not written: collect the run"
    ):
        load_responses(tmp_path / "store")
    status = open_dataset(tmp_path / "store").status.values
    assert status.tolist() == 5 * [0] + 5 * [1] + 2 * [0]


def test_the_same_run_is_accepted_again(store: Path) -> None:
    before = load_responses(store).outputs
    found = collect(Counting(), DESIGN, store=store, block=5)
    assert bool((found.outputs == before).all())


def test_what_a_killed_write_left_is_no_warning_to_a_reader(store: Path) -> None:
    # Warnings are errors here.
    before = open_dataset(store).outputs.values
    (store / "zarr.0123abcd.partial").write_bytes(b"{")
    assert (open_dataset(store).outputs.values == before).all()

"""Chunks and metadata that change on disk: found, named, and trained anew alone."""

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from counting import Counting, contents, leftovers, trainings
from torch import Tensor

from dmtheory import fit_datamodel
from dmtheory.designs import Bernoulli
from dmtheory.responses.collect import collect, collect_into
from dmtheory.responses.responses import load_responses
from dmtheory.responses.store import StoreError, read_store

BLOCK, N_BLOCKS = 5, 6
DESIGN = Bernoulli(p=0.5, n_models=28, seed=1)
CHUNKS = {"outputs": "outputs/c/{}/0", "status": "status/c/{}", "marks": "marks/c/{}/0"}


def flip(at: float, bit: int) -> Callable[[Path], None]:
    """Return a fault that flips a bit; at is the byte's place as a share of all."""

    def fault(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(at * (len(content) - 1))] ^= 1 << bit
        path.write_bytes(content)

    return fault


def keep(n_bytes: int) -> Callable[[Path], None]:
    """Return a fault that cuts a file to its first bytes, the last ones if negative."""
    return lambda path: write(path, path.read_bytes()[:n_bytes])


def bits(outputs: Tensor) -> bytes:
    return outputs.numpy().tobytes()


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


FAULTS: dict[str, Callable[[Path], None]] = {
    "emptied": keep(0),
    "one byte left": keep(1),
    "check sum left": keep(4),
    "one byte short": keep(-1),
    "check sum cut": keep(-4),
    "one byte long": lambda path: write(path, path.read_bytes() + b"\0"),
    "zeros": lambda path: write(path, bytes(path.stat().st_size)),
    "deleted": Path.unlink,
    "first bit flipped": flip(0.0, 0),
    "payload flipped": flip(0.4, 5),
    "check sum flipped": flip(1.0, 7),
}


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of an uninterrupted run."""
    store = tmp_path_factory.mktemp("truth") / "store"
    collect_into(store, Counting(), DESIGN, block=BLOCK)
    return store


@pytest.fixture
def store(truth: Path, tmp_path: Path) -> Path:
    return shutil.copytree(truth, tmp_path / "store")


def check_collecting_repairs(store: Path, truth: Path, damaged: set[int]) -> None:
    """Check that collecting trains the damaged blocks alone, to the same bytes."""
    log = store.with_name("log")
    collect_into(store, Counting(log=log), DESIGN, block=BLOCK)
    assert trainings(log, DESIGN, BLOCK) == dict.fromkeys(damaged, 1)
    assert contents(store) == contents(truth)


@pytest.mark.parametrize("block", [3, 5], ids=["whole", "partial"])
@pytest.mark.parametrize("array", CHUNKS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_chunk_is_named_and_trained_anew(
    fault: str, array: str, block: int, store: Path, truth: Path
) -> None:
    FAULTS[fault](store / CHUNKS[array].format(block))
    opened = read_store(store)
    last = min(5 * block + 4, 27)
    state = "not written" if array == "marks" else "damaged"
    expected = (
        rf"block {block} \(models {5 * block} to {last}\) is {state}.*collect the run "
        "again"
    )
    with pytest.raises(StoreError, match=expected):
        opened.read(block)
    with pytest.raises(StoreError, match=expected):
        load_responses(store)
    assert [opened.is_done(b) for b in range(N_BLOCKS)] == [
        b != block for b in range(N_BLOCKS)
    ]
    check_collecting_repairs(store, truth, {block})


@pytest.mark.parametrize("array", CHUNKS)
def test_no_flipped_bit_is_read_as_data(array: str, store: Path) -> None:
    path = store / CHUNKS[array].format(2)
    whole, opened = path.read_bytes(), read_store(store)
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(StoreError, match="block 2"):
            opened.read(2)
    path.write_bytes(whole)
    assert opened.is_done(2)


@pytest.mark.parametrize("arrays", [["outputs"], ["outputs", "status", "marks"]])
def test_blocks_that_were_exchanged_are_found(
    arrays: list[str], store: Path, truth: Path
) -> None:
    for array in arrays:
        one, other = (store / CHUNKS[array].format(b) for b in (1, 4))
        content = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(content)
    with pytest.raises(StoreError, match=r"block 1 \(models 5 to 9\) is damaged"):
        load_responses(store)
    check_collecting_repairs(store, truth, {1, 4})


def test_several_damaged_blocks_are_trained_anew_together(
    store: Path, truth: Path
) -> None:
    FAULTS["deleted"](store / "outputs/c/0/0")
    FAULTS["emptied"](store / "status/c/2")
    FAULTS["first bit flipped"](store / "marks/c/5/0")
    check_collecting_repairs(store, truth, {0, 2, 5})


def test_a_run_with_a_damaged_block_can_be_extended(store: Path) -> None:
    FAULTS["payload flipped"](store / "outputs/c/5/0")
    longer = Bernoulli(p=0.5, n_models=33, seed=1)
    fresh = collect(Counting(), longer, store=store.with_name("fresh"), block=BLOCK)
    extended = collect(Counting(), longer, store=store, block=BLOCK)
    assert torch.equal(extended.outputs, fresh.outputs)
    assert contents(store) == contents(store.with_name("fresh"))


@pytest.mark.parametrize("array", ["outputs", "status", "marks"])
@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b'{"zarr_format": 3', b"\xff"]
)
def test_metadata_of_an_array_that_cannot_be_read_is_made_anew_once_deleted(
    array: str, content: bytes, store: Path, truth: Path
) -> None:
    path = store / array / "zarr.json"
    path.write_bytes(content)
    before = contents(store)
    for attempt in (
        lambda: load_responses(store),
        lambda: collect_into(store, Counting(), DESIGN, block=BLOCK),
    ):
        with pytest.raises(
            StoreError, match=f"{array}/zarr.json cannot be read.*delet"
        ):
            attempt()
    assert contents(store) == before
    path.unlink()
    with pytest.raises(StoreError, match=f"no array {array}: collect the run again"):
        load_responses(store)
    check_collecting_repairs(store, truth, set())


# What 0/0 gives on this machine and others, and sums that overflow.
@pytest.mark.parametrize("value", [float("nan"), -float("nan"), float("-inf")])
def test_diverged_models_are_kept_and_counted(value: float, tmp_path: Path) -> None:
    rows = torch.arange(DESIGN.n_models)
    lost = DESIGN.seeds(rows)[10:15]

    def diverges(seeds: Tensor, outputs: Tensor) -> Tensor:
        gone = torch.isin(seeds, lost)[:, None]
        return torch.where(gone, value, outputs)

    log, store = tmp_path / "log", tmp_path / "store"
    problem = Counting(log=log, after=diverges)
    first = collect(problem, DESIGN, store=store, block=BLOCK)
    again = collect(problem, DESIGN, store=store, block=BLOCK)
    assert trainings(log, DESIGN, BLOCK) == dict.fromkeys(range(N_BLOCKS), 1)
    for found in (first, again, load_responses(store)):
        assert torch.equal(found.diverged, (rows >= 10) & (rows < 15))
        assert bits(found.outputs) == bits(first.outputs)
        assert not found.outputs[10:15].isfinite().any()
        assert "28 models, 5 diverged" in fit_datamodel(found).method
    written = (store / "outputs/c/2/0").read_bytes()
    assert written[:-4] == 10 * struct.pack("<d", value)


def test_leftovers_are_removed_once_their_writer_must_be_dead(
    store: Path, truth: Path
) -> None:
    places = ["zarr", "outputs/zarr", "outputs/c/2/0", "status/c/9", "marks/c/1/0"]
    fresh = [store / f"{place}.0123456789abcdef.partial" for place in places]
    stale = [store / f"{place}.fedcba9876543210.partial" for place in places]
    mine = store / "notes.partial"
    for path in (*fresh, *stale, mine):
        path.write_bytes(b"half")
    for path in (*stale, mine):
        os.utime(path, (0, 0))
    check_collecting_repairs(store, truth, set())
    assert set(leftovers(store)) == {*fresh, mine}


def test_reading_removes_nothing(store: Path) -> None:
    stale = store / "outputs/c/2/0.0123456789abcdef.partial"
    stale.write_bytes(b"half")
    os.utime(stale, (0, 0))
    load_responses(store)
    assert stale.exists()

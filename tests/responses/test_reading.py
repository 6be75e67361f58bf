"""Reading many blocks: the same bytes as alone, few requests, several at a time."""

import asyncio
import shutil
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from counting import Counting, contents, trainings
from test_damage import CHUNKS, FAULTS
from torch import Tensor
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore, MemoryStore

from dmtheory.cli.runs import _summary
from dmtheory.designs import Bernoulli
from dmtheory.responses.collect import collect_into
from dmtheory.responses.maintain import merge, verify
from dmtheory.responses.responses import load_responses
from dmtheory.responses.store import (
    DIVERGED,
    TRAINED,
    Block,
    BlockError,
    NotWritten,
    StoreError,
    open_store,
    read_store,
)

BLOCK, N_BLOCKS, N_MODELS = 5, 60, 298
DESIGN = Bernoulli(p=0.5, n_models=N_MODELS, seed=6)
BLOCKS = range(N_BLOCKS)


def diverges(seeds: Tensor, outputs: Tensor) -> Tensor:
    return torch.where(seeds[:, None] % 7 == 0, float("nan"), outputs)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("truth") / "store"
    collect_into(store, Counting(after=diverges), DESIGN, block=BLOCK)
    return store


@pytest.fixture
def store(truth: Path, tmp_path: Path) -> Path:
    return shutil.copytree(truth, tmp_path / "store")


def same(one: Block, other: Block) -> bool:
    return (
        one.outputs.tobytes() == other.outputs.tobytes()
        and one.status.tobytes() == other.status.tobytes()
        and one.outputs.dtype == other.outputs.dtype
    )


class Slow(MemoryStore):
    """Memory behind a network; copies of it share what is noted."""

    asked: list[str] = []  # noqa: RUF012 -- shared on purpose
    waiting = [0, 0]  # noqa: RUF012 -- now, and at most

    async def get(self, key: str, *rest: Any, **more: Any) -> Buffer | None:
        Slow.asked.append(key)
        # Marks are read in one call, for which zarr itself waits for several at a time.
        of_a_block = "/c/" in key and not key.startswith("marks")
        Slow.waiting[0] += of_a_block
        Slow.waiting[1] = max(Slow.waiting)
        await asyncio.sleep(0.005)
        Slow.waiting[0] -= of_a_block
        return await super().get(key, *rest, **more)


def remote(truth: Path) -> Slow:
    """Return the store of the truth behind a network."""
    store = Slow()
    merge(store, [truth])
    Slow.asked.clear()
    Slow.waiting[:] = [0, 0]
    return store


def asked() -> Counter[str]:
    """Return how many chunks of each array were asked for."""
    return Counter(key.partition("/")[0] for key in Slow.asked if "/c/" in key)


def test_many_blocks_are_what_each_is_alone(truth: Path) -> None:
    opened = read_store(truth)
    for blocks in (BLOCKS, [7], [], list(range(3, N_BLOCKS, 9)), [5, 2, 59]):
        found = list(opened.contents(blocks))
        assert [block for block, _ in found] == list(blocks)
        for block, content in found:
            assert isinstance(content, Block)
            assert same(content, opened.read(block))
        assert opened.done(blocks) == opened.marked(blocks) == set(blocks)


def test_responses_are_read_bit_for_bit(truth: Path) -> None:
    opened = read_store(truth)
    one_by_one = np.concatenate([opened.read(b).outputs for b in BLOCKS])
    found = load_responses(truth)
    assert found.outputs.numpy().tobytes() == one_by_one.tobytes()
    assert torch.equal(found.diverged, ~found.outputs.isfinite().all(1))
    assert found.diverged.any()


@pytest.mark.parametrize("array", CHUNKS)
@pytest.mark.parametrize("fault", FAULTS)
def test_damage_is_found_in_its_block_alone(
    fault: str, array: str, store: Path, truth: Path
) -> None:
    damaged = {0, 17, 18, N_BLOCKS - 1}
    if fault == "deleted" and array == "status":
        damaged -= {0}
    for block in damaged:
        FAULTS[fault](store / CHUNKS[array].format(block))
    opened = read_store(store)
    assert opened.done(BLOCKS) == set(BLOCKS) - damaged
    alone = read_store(truth)
    for block, content in opened.contents(BLOCKS):
        if block in damaged:
            assert isinstance(content, BlockError)
            assert isinstance(content, NotWritten) == (array == "marks")
        else:
            assert isinstance(content, Block)
            assert same(content, alone.read(block))
    state = "not written" if array == "marks" else "damaged"
    with pytest.raises(StoreError, match=rf"^block {min(damaged)} \(.*{state}"):
        load_responses(store)
    checked = verify(store)
    found = checked.missing if array == "marks" else checked.damaged
    assert found == tuple(sorted(damaged))
    log = store.with_name("log")
    collect_into(
        store, Counting(log=log, after=diverges), DESIGN, block=BLOCK, shard=(0, 1)
    )
    assert trainings(log, DESIGN, BLOCK) == dict.fromkeys(damaged, 1)
    assert contents(store) == contents(truth)


def test_reading_asks_for_each_chunk_once_and_for_several_at_a_time(
    truth: Path,
) -> None:
    store = remote(truth)
    found = load_responses(store)
    each = {"outputs": N_BLOCKS, "status": N_BLOCKS, "marks": N_BLOCKS}
    assert asked() == each
    assert Slow.waiting[1] >= 8
    assert torch.equal(found.diverged, load_responses(truth).diverged)
    Slow.asked.clear()
    opened = read_store(store)
    assert opened.marked(BLOCKS) == set(BLOCKS)
    assert asked() == {"marks": N_BLOCKS}
    Slow.asked.clear()
    assert verify(store).sound
    assert asked() == each


def test_a_run_that_is_complete_is_found_so_with_three_requests_a_block(
    truth: Path,
) -> None:
    store = remote(truth)
    collect_into(store, Counting(after=diverges), DESIGN, block=BLOCK)
    assert asked() == {"outputs": N_BLOCKS, "status": N_BLOCKS, "marks": N_BLOCKS}


def test_a_shard_asks_for_its_blocks_alone(truth: Path) -> None:
    store = remote(truth)
    collect_into(store, Counting(after=diverges), DESIGN, block=BLOCK, shard=(1, 6))
    assert asked() == {"outputs": 10, "status": 10, "marks": 10}


def test_what_was_written_meanwhile_is_read_anew(truth: Path, tmp_path: Path) -> None:
    """Between the marks' reading and a block's, another process extends the run."""
    path, longer = tmp_path / "store", Bernoulli(p=0.5, n_models=27, seed=6)
    collect_into(path, Counting(), Bernoulli(p=0.5, n_models=23, seed=6), block=BLOCK)
    opened = read_store(path)
    expected = opened.read(4)
    marks = opened._marks(range(5))
    collect_into(path, Counting(), longer, block=BLOCK)
    assert opened._mark(4) != marks[4]
    for mark in (marks[4], opened._mark(4)):
        found = opened._sound(4, mark)
        assert isinstance(found, Block)
        assert same(found, expected)


def test_a_summary_reads_no_outputs(truth: Path) -> None:
    store = remote(truth)
    opened = read_store(store)
    shown = _summary("there", opened)
    assert asked() == {"marks": N_BLOCKS, "status": N_BLOCKS}
    assert Slow.waiting[1] >= 8
    n_diverged = int(load_responses(truth).diverged.sum())
    assert shown == {
        "store": "there",
        "models": N_MODELS,
        "trained": N_MODELS,
        "diverged": n_diverged,
        "blocks": N_BLOCKS,
        "missing blocks": 0,
    }
    assert n_diverged > 0


def test_a_summary_counts_marked_blocks_alone(store: Path) -> None:
    (store / "marks/c/3/0").unlink()
    (store / "marks/c/59/0").unlink()
    (store / "outputs/c/7/0").write_bytes(b"damaged")
    opened = read_store(store)
    shown = _summary("there", opened)
    assert shown["trained"] == N_MODELS - 5 - 3
    assert shown["missing blocks"] == 2
    status = opened.statuses()
    assert set(status[15:20]) == set(status[295:]) == {0}
    assert set(status) == {0, TRAINED, DIVERGED}
    (store / "status/c/9").write_bytes(b"damaged")
    with pytest.raises(StoreError, match=r"^block 9 \(models 45 to 49\) is damaged"):
        read_store(store).statuses()


def test_merging_skips_what_is_there_and_what_is_damaged(
    store: Path, truth: Path, tmp_path: Path
) -> None:
    FAULTS["payload flipped"](store / "outputs/c/12/0")
    FAULTS["deleted"](store / "marks/c/30/0")
    merged = merge(tmp_path / "merged", [store])
    assert merged.done(BLOCKS) == set(BLOCKS) - {12, 30}
    written: list[str] = []

    class Noting(LocalStore):
        async def set(self, key: str, value: Buffer) -> None:
            written.append(key)
            await super().set(key, value)

    merge(Noting(tmp_path / "merged"), [store, truth])
    expected = {f.format(b) for b in (12, 30) for f in CHUNKS.values()}
    assert set(written) == expected
    assert contents(tmp_path / "merged") == contents(truth)


def test_a_reading_that_is_given_up_leaves_no_threads(truth: Path) -> None:
    """Were there any, clearing it on the thread that serves them would never end."""
    before = {thread for thread in threading.enumerate() if "zarr" not in thread.name}
    reading = read_store(truth).contents(BLOCKS)
    assert next(reading)[0] == 0
    after = {thread for thread in threading.enumerate() if "zarr" not in thread.name}
    assert after <= before


def test_results_of_an_empty_choice_are_empty(truth: Path) -> None:
    opened = open_store(truth, read_store(truth).config, N_MODELS)
    assert opened.marked([]) == opened.done([]) == set()
    assert list(opened.contents([])) == []

"""What a run is: the same bytes however it was collected, extended or kept."""

import re
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from counting import Counting, contents, marked, trainings
from torch import Tensor
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore, MemoryStore

from dmtheory.designs import Bernoulli, ComplementaryPairs
from dmtheory.designs.base import Design
from dmtheory.engines.base import Engine
from dmtheory.responses import store as stores
from dmtheory.responses.collect import collect, collect_into
from dmtheory.responses.responses import load_responses, open_dataset
from dmtheory.responses.store import open_store, read_store

BLOCK = 256
N_BLOCKS = 4


def design(n_models: int) -> Bernoulli:
    return Bernoulli(p=0.5, n_models=n_models, seed=8)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of 1000 models, collected in one go."""
    store = tmp_path_factory.mktemp("truth") / "store"
    collect(Counting(), design(1000), store=store)
    return store


def test_a_store_changes_nothing_about_outputs(truth: Path) -> None:
    alone = collect(Counting(), design(1000))
    rows = torch.arange(1000)
    weights, seeds = design(1000).weights(rows, 6), design(1000).seeds(rows)
    for found in (load_responses(truth), alone):
        assert torch.allclose(
            found.outputs, Counting().respond(weights, seeds), rtol=0, atol=1e-12
        )
        assert torch.equal(found.outputs, alone.outputs)
        assert found.design == design(1000)
        assert found.description == Counting().description
        assert not found.diverged.any()


@pytest.mark.parametrize("steps", [[700], [1, 255, 256, 257], [768], [1000, 1000]])
def test_a_run_that_was_extended_is_the_run_that_was_asked_for_at_once(
    steps: list[int], truth: Path, tmp_path: Path
) -> None:
    log, store = tmp_path / "log", tmp_path / "store"
    for n_models in steps:
        found = collect(Counting(log=log), design(n_models), store=store)
        assert torch.equal(found.outputs, load_responses(truth).outputs[:n_models])
    already = marked(store, 1000, BLOCK)
    log.unlink()
    extended = collect(Counting(log=log), design(1000), store=store)
    assert torch.equal(extended.outputs, load_responses(truth).outputs)
    assert contents(store) == contents(truth)
    new = set(range(N_BLOCKS)) - already
    assert trainings(log, design(1000), BLOCK) == dict.fromkeys(new, 1)


def test_asking_for_fewer_models_keeps_those_that_are_there(
    truth: Path, tmp_path: Path
) -> None:
    log, before = tmp_path / "log", contents(truth)
    found = collect(Counting(log=log), design(700), store=truth)
    assert not log.exists()
    assert contents(truth) == before
    assert found.n_models == 1000
    assert found.design == design(1000)


def test_a_run_that_is_extended_meanwhile_can_still_be_read_and_written(
    truth: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    collect_into(store, Counting(), design(700))
    config = dict(read_store(store).config)
    opened = open_store(store, config, 700)
    part = opened.read(2)
    collect_into(store, Counting(), design(1000))
    whole = load_responses(truth).outputs.numpy()
    assert opened.n_models == 700
    assert opened.is_done(2)
    assert np.array_equal(opened.read(2).outputs, whole[512:700])
    # Late with the shorter last block, it must not take away the longer one's rows.
    opened.write(2, part)
    assert contents(store) == contents(truth)


def test_a_run_whose_extension_was_cut_short_reads_as_before(
    truth: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    before = collect(Counting(), design(700), store=store).outputs
    zarr.open_array(store / "outputs", mode="r+").resize((1000, 2))
    assert torch.equal(load_responses(store).outputs, before)
    # Collecting completes what was begun, even when asked for no more than before.
    assert collect(Counting(), design(700), store=store).n_models == 1000
    assert contents(store) == contents(truth)


@pytest.mark.parametrize("n_read", [1, 2])
def test_a_run_that_is_extended_while_it_is_opened_is_whole(
    n_read: int, truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, opened = tmp_path / "store", []
    collect_into(store, Counting(), design(700))
    find = stores._array

    def extended_meanwhile(group: Any, name: str) -> Any:
        found = find(group, name)
        opened.append(name)
        if len(opened) == n_read:
            with monkeypatch.context() as patch:
                patch.setattr(stores, "_array", find)
                collect_into(store, Counting(), design(1000))
        return found

    monkeypatch.setattr(stores, "_array", extended_meanwhile)
    found = load_responses(store)
    assert len(opened) >= 3
    assert torch.equal(found.outputs, load_responses(truth).outputs[:700])


def test_shards_fill_disjoint_blocks_that_make_the_run(
    truth: Path, tmp_path: Path
) -> None:
    store, filled = tmp_path / "store", set()
    for index in range(3):
        log = tmp_path / f"log {index}"
        collect_into(store, Counting(log=log), design(1000), shard=(index, 3))
        trained = trainings(log, design(1000), BLOCK)
        assert trained == dict.fromkeys(range(index, N_BLOCKS, 3), 1)
        filled |= trained.keys()
        assert marked(store, 1000, BLOCK) == filled
    assert contents(store) == contents(truth)


class Backwards:
    """An engine that runs tasks in an order of its own."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def run(self, function: Any, tasks: Iterable[Any], on_result: Any) -> None:
        queue = list(enumerate(tasks))
        self.random.shuffle(queue)
        for index, task in queue:
            on_result(index, function(task))


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_blocks_does_not_matter(
    seed: int, truth: Path, tmp_path: Path
) -> None:
    engine: Engine = Backwards(seed)
    counts: list[int] = []
    collect_into(
        tmp_path / "store",
        Counting(),
        design(1000),
        engine=engine,
        progress=counts.append,
    )
    assert contents(tmp_path / "store") == contents(truth)
    assert sum(counts) == 1000
    unstored = collect(Counting(), design(1000), engine=Backwards(seed))
    assert torch.equal(unstored.outputs, load_responses(truth).outputs)


def test_stores_in_memory_and_in_a_folder_hold_the_same_bytes(
    truth: Path, tmp_path: Path
) -> None:
    memory, folder = MemoryStore(), LocalStore(tmp_path / "store")
    for location in (memory, folder, str(tmp_path / "named")):
        collect_into(location, Counting(), design(700))
        collect_into(location, Counting(), design(1000))
    kept = {name: value.to_bytes() for name, value in memory._store_dict.items()}
    assert kept == contents(truth)
    assert contents(tmp_path / "store") == contents(truth)
    assert contents(tmp_path / "named") == contents(truth)
    assert torch.equal(load_responses(memory).outputs, load_responses(truth).outputs)


def test_progress_counts_what_is_there_and_what_is_new(tmp_path: Path) -> None:
    counts: list[int] = []
    for n_models in (700, 1000):
        collect(
            Counting(),
            design(n_models),
            store=tmp_path / "store",
            progress=counts.append,
        )
    assert counts[0] == 0
    assert sorted(counts[1:4]) == [188, 256, 256]
    assert counts[4] == 512
    assert sorted(counts[5:]) == [232, 256]


def test_pairs_and_other_units_are_extended_by_rows(tmp_path: Path) -> None:
    def pairs(n: int) -> Design:
        return ComplementaryPairs(n_pairs=n, seed=4)

    for n in (3, 8):
        found = collect(Counting(), pairs(n), store=tmp_path / "store", block=5)
    assert found.design == pairs(8)
    fresh = collect(Counting(), pairs(8), store=tmp_path / "fresh", block=5)
    assert torch.equal(found.outputs, fresh.outputs)
    assert contents(tmp_path / "store") == contents(tmp_path / "fresh")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_lower_precision_stores_rounded_outputs(
    dtype: str, truth: Path, tmp_path: Path
) -> None:
    found = collect(Counting(), design(1000), store=tmp_path / "store", dtype=dtype)
    exact, rounded = load_responses(truth).outputs.numpy(), found.outputs.numpy()
    assert np.array_equal(rounded, exact.astype(dtype))
    step = np.spacing(abs(rounded).astype(dtype)).astype(np.float64)
    assert (abs(rounded - exact) <= step / 2).all()
    stored = read_store(tmp_path / "store").outputs
    assert stored.dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("dtype", "fits", "overflows"),
    [("float16", 65504.0, -70000.0), ("float32", 3.4e38, 1e39)],
)
def test_an_output_that_overflows_is_refused_with_its_value(
    dtype: str, fits: float, overflows: float, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    last = design(1000).seeds(torch.arange(1000))[-1]

    def large(seeds: Tensor, outputs: Tensor) -> Tensor:
        is_last = (seeds == last).double()[:, None].expand_as(outputs)
        return fits + is_last * (overflows - fits)

    problem, store = Counting(log=log, after=large), tmp_path / "store"
    said = re.escape(f"{dtype} overflows at {overflows:g}: use float32 or float64")
    with pytest.raises(ValueError, match=said):
        collect(problem, design(1000), store=store, dtype=dtype)
    opened = read_store(store)
    assert not opened.is_marked(3)
    done = {block for block in range(N_BLOCKS) if opened.is_done(block)}
    assert done == trainings(log, design(1000), BLOCK).keys() - {3}


def test_diverged_outputs_are_no_overflow(tmp_path: Path) -> None:
    def diverges(_: Tensor, outputs: Tensor) -> Tensor:
        return torch.full_like(outputs, torch.inf)

    found = collect(
        Counting(after=diverges), design(9), store=tmp_path, dtype="float16"
    )
    assert bool(found.diverged.all())


@pytest.mark.parametrize("point", ["outputs", "status", "mark", "done"])
def test_an_interrupt_leaves_a_store_that_goes_on(
    point: str, truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, passed = tmp_path / "log", []

    def interrupt(where: str) -> None:
        passed.append(where)
        if passed.count(point) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stores, "reached", interrupt)
        with pytest.raises(KeyboardInterrupt):
            collect(Counting(), design(1000), store=tmp_path / "store")
    n_done = 2 if point == "done" else 1
    assert len(marked(tmp_path / "store", 1000, BLOCK)) == n_done
    collect(Counting(log=log), design(1000), store=tmp_path / "store")
    assert trainings(log, design(1000), BLOCK).total() == N_BLOCKS - n_done
    assert contents(tmp_path / "store") == contents(truth)


def test_an_exception_of_the_problem_leaves_a_store_that_goes_on(
    truth: Path, tmp_path: Path
) -> None:
    third = design(1000).seeds(torch.tensor([512]))

    def fails(seeds: Tensor) -> None:
        if bool((seeds == third).any()):
            raise ArithmeticError("no such model")

    with pytest.raises(ArithmeticError, match="no such model"):
        collect(Counting(before=fails), design(1000), store=tmp_path / "store")
    assert 2 not in marked(tmp_path / "store", 1000, BLOCK)
    collect(Counting(), design(1000), store=tmp_path / "store")
    assert contents(tmp_path / "store") == contents(truth)


def test_outputs_of_another_shape_are_refused(truth: Path) -> None:
    store = read_store(truth)
    part = store.read(3)
    with pytest.raises(ValueError, match=r"block 0 must have shape \(256, 2\), got"):
        store.write(0, part)


class Watched(MemoryStore):
    """A store that notes what is read from it; copies share the notes."""

    read: list[str] = []  # noqa: RUF012 -- shared on purpose

    async def get(self, key: str, *rest: Any, **more: Any) -> Buffer | None:
        self.read.append(key)
        return await super().get(key, *rest, **more)


def test_a_dataset_has_names_labels_and_seeds_and_reads_one_array_when_asked() -> None:
    memory = Watched()
    expected = collect(Counting(), design(1000), store=memory).outputs
    Watched.read.clear()
    dataset = open_dataset(memory)
    assert dict(dataset.sizes) == {"models": 1000, "targets": 2}
    assert dataset.outputs.dims == ("models", "targets")
    assert dataset.status.dims == ("models",)
    assert dataset.targets.values.tolist() == ["question 0", "question 1"]
    seeds = design(1000).seeds(torch.arange(1000))
    assert np.array_equal(dataset.seed.values, seeds.numpy())
    assert not [key for key in Watched.read if "/c/" in key]
    column = dataset.outputs.sel(targets="question 1").values
    assert np.array_equal(column, expected[:, 1].numpy())
    chunks = {key for key in Watched.read if "/c/" in key}
    assert chunks == {f"outputs/c/{block}/0" for block in range(N_BLOCKS)}


def test_a_dataset_reads_the_chunk_of_the_models_that_are_asked_for() -> None:
    memory = Watched()
    expected = collect(Counting(), design(1000), store=memory).outputs
    dataset = open_dataset(memory)
    Watched.read.clear()
    some = dataset.outputs.isel(models=slice(300, 310)).values
    assert np.array_equal(some, expected[300:310].numpy())
    assert {key for key in Watched.read if "/c/" in key} == {"outputs/c/1/0"}

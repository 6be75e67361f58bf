"""Pools of processes whose workers or driver die, fail or are interrupted.

The truth is the run of one process that nothing disturbs, byte for byte.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from counting import (
    Counting,
    contents,
    die_at,
    fail_at,
    marked,
    trainings,
)

from dmtheory.designs import Bernoulli
from dmtheory.engines.local import MAX_ATTEMPTS, Processes, WorkerDied, process_pool
from dmtheory.responses.collect import collect, collect_into

HERE = Path(__file__).parent
BLOCK, N_BLOCKS, N_MODELS = 5, 8, 38
DESIGN = Bernoulli(p=0.5, n_models=N_MODELS, seed=2)


@pytest.fixture(scope="module")
def pool() -> Iterator[Processes]:
    """Two workers; each test leaves the pool fit for the next one."""
    with process_pool(2) as engine:
        yield engine


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    store = tmp_path_factory.mktemp("truth") / "store"
    collect_into(store, Counting(), DESIGN, block=BLOCK)
    return contents(store)


def seed_of(block: int) -> int:
    """Return the seed of a model in the middle of a block."""
    return int(DESIGN.seeds(torch.tensor([BLOCK * block + 2])))


def process_of(_: int) -> int:
    return os.getpid()


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"waited 30 s for {what}"
        time.sleep(0.01)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        # One that nobody has waited for yet is dead too.
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()
    return state != "Z"


def test_a_pool_collects_what_one_process_collects(
    pool: Processes, truth: dict[str, bytes], tmp_path: Path
) -> None:
    log, counts = tmp_path / "log", []
    found = collect(
        Counting(log=log),
        DESIGN,
        store=tmp_path / "store",
        engine=pool,
        block=BLOCK,
        progress=counts.append,
    )
    assert contents(tmp_path / "store") == truth
    assert trainings(log, DESIGN, BLOCK) == dict.fromkeys(range(N_BLOCKS), 1)
    assert sum(counts) == N_MODELS == found.n_models


def test_an_exception_in_a_worker_reaches_the_caller_once(
    pool: Processes, truth: dict[str, bytes], tmp_path: Path
) -> None:
    log, store = tmp_path / "log", tmp_path / "store"
    fails = Counting(log=log, before=partial(fail_at, seed_of(4)))
    with pytest.raises(ArithmeticError, match=f"no model has seed {seed_of(4)}"):
        collect_into(store, fails, DESIGN, engine=pool, block=BLOCK)
    assert trainings(log, DESIGN, BLOCK)[4] == 1
    before = marked(store, N_MODELS, BLOCK)
    assert 4 not in before
    # A task that was queued may still end; none is handed to the next run.
    new = tmp_path / "new log"
    collect_into(store, Counting(log=new), DESIGN, engine=pool, block=BLOCK)
    left = set(range(N_BLOCKS)) - before
    assert trainings(new, DESIGN, BLOCK) == dict.fromkeys(left, 1)
    assert contents(store) == truth


def test_an_interrupt_of_the_driver_leaves_a_store_that_goes_on(
    pool: Processes, truth: dict[str, bytes], tmp_path: Path
) -> None:
    store, counts = tmp_path / "store", []

    def interrupt(n_models: int) -> None:
        counts.append(n_models)
        if len(counts) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect_into(
            store, Counting(), DESIGN, engine=pool, block=BLOCK, progress=interrupt
        )
    assert len(marked(store, N_MODELS, BLOCK)) == 3
    collect_into(store, Counting(), DESIGN, engine=pool, block=BLOCK)
    assert contents(store) == truth


def test_a_worker_that_dies_once_costs_no_more_than_what_was_in_flight(
    pool: Processes, truth: dict[str, bytes], tmp_path: Path
) -> None:
    log, store = tmp_path / "log", tmp_path / "store"
    dies = partial(die_at, seed_of(3), tmp_path / "died")
    problem = Counting(log=log, before=dies)
    collect_into(store, problem, DESIGN, engine=pool, block=BLOCK)
    assert (tmp_path / "died").exists()
    assert contents(store) == truth
    trained = trainings(log, DESIGN, BLOCK)
    assert trained.keys() == set(range(N_BLOCKS))
    assert trained[3] == 2
    assert trained.total() <= N_BLOCKS + 3


def test_workers_that_die_between_two_tasks_are_replaced(pool: Processes) -> None:
    found: dict[int, int] = {}

    def keep(index: int, process: int) -> None:
        found[index] = process
        if index == 3:
            os.kill(process, signal.SIGKILL)
            # The pool notices before the next task is handed over.
            until(lambda: not alive(process), "the worker's end")
            time.sleep(0.2)

    pool.run(process_of, range(10), keep)
    assert found.keys() == set(range(10))
    assert os.getpid() not in found.values()


def test_a_block_that_always_kills_its_worker_is_given_up(
    truth: dict[str, bytes], tmp_path: Path
) -> None:
    log, store = tmp_path / "log", tmp_path / "store"
    problem = Counting(log=log, before=partial(die_at, seed_of(3), None))
    with (
        process_pool(1) as engine,
        pytest.raises(WorkerDied, match=f"died {MAX_ATTEMPTS} times while task"),
    ):
        collect_into(store, problem, DESIGN, engine=engine, block=BLOCK)
    trained = trainings(log, DESIGN, BLOCK)
    assert trained[3] == MAX_ATTEMPTS
    # All that was finished is kept; one task more than workers was in flight.
    kept = marked(store, N_MODELS, BLOCK)
    assert kept == trained.keys() - {3}
    log.unlink()
    collect_into(store, Counting(log=log), DESIGN, block=BLOCK)
    left = set(range(N_BLOCKS)) - kept
    assert trainings(log, DESIGN, BLOCK) == dict.fromkeys(left, 1)
    assert contents(store) == truth


DRIVER = """
import os, signal, sys
from functools import partial
from pathlib import Path
from counting import Counting, sleep
from dmtheory import process_pool
from dmtheory.designs import Bernoulli
from dmtheory.responses import store
from dmtheory.responses.collect import collect_into

folder, place = Path(sys.argv[1]), sys.argv[2]
reached = []

def die(where):
    reached.append(where)
    if reached.count(place) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    store.reached = die
    # So slow that a busy machine interrupts it before its end.
    problem = Counting(log=folder / "log", before=partial(sleep, 0.7))
    design = Bernoulli(p=0.5, n_models=38, seed=2)
    with process_pool(1) as engine:
        engine.run(os.system, [f"echo $PPID > {folder / 'worker'}"], lambda *_: None)
        collect_into(folder / "store", problem, design, engine=engine, block=5)
"""


def driver(folder: Path, place: str) -> "subprocess.Popen[str]":
    """Start a driver with one worker in a process group of their own."""
    script = folder / "driver.py"
    script.write_text(DRIVER)
    paths = os.pathsep.join([str(HERE.parent), str(HERE.parent.parent)])
    return subprocess.Popen(
        [sys.executable, script, folder, place],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("end", ["kill -9 of the driver", "Ctrl-C"])
def test_no_worker_outlives_its_driver(
    end: str, truth: dict[str, bytes], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    with driver(tmp_path, "mark" if "kill" in end else "never") as process:
        if end == "Ctrl-C":
            until(lambda: len(marked(store, N_MODELS, BLOCK)) > 1, "two blocks")
            # A terminal sends it to every process of the group.
            os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    worker = int((tmp_path / "worker").read_text())
    until(lambda: not alive(worker), "the worker's end")
    if end == "Ctrl-C":
        assert process.returncode == -signal.SIGINT
        assert "SpawnProcess" not in said
        assert said.rstrip().endswith("KeyboardInterrupt")
    else:
        assert process.returncode == -signal.SIGKILL
    before = marked(store, N_MODELS, BLOCK)
    assert before
    log = tmp_path / "new log"
    collect_into(store, Counting(log=log), DESIGN, block=BLOCK)
    left = set(range(N_BLOCKS)) - before
    assert trainings(log, DESIGN, BLOCK) == dict.fromkeys(left, 1)
    assert contents(store) == truth

"""Blocks on a real Ray cluster of this machine: the local engine's bytes, or an error.

Run with the one cluster that this module starts; two cores, a minute.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from samples import table
from torch import Tensor

from dmtheory import collect
from dmtheory.catalogue import ready_problem
from dmtheory.cli import cli
from dmtheory.designs import Bernoulli
from dmtheory.engines.base import Engine
from dmtheory.engines.devices import worker_device
from dmtheory.engines.local import Serial, WorkerDied
from dmtheory.problems import (
    MLP,
    SGD,
    BlackBox,
    Description,
    LogisticRegression,
    Network,
    Problem,
)

ray = pytest.importorskip("ray", reason="Ray is not installed")

from dmtheory.engines import ray_cluster as ray_module  # noqa: E402
from dmtheory.engines.ray_cluster import (  # noqa: E402
    RayEngine,
    _on_worker,
    ray_cluster,
)

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="processes are counted in /proc"
)
ROOT = Path(__file__).parents[2]
TEST_FOLDERS = [str(ROOT / "tests"), str(Path(__file__).parent)]
SECONDS = 60
DESIGN = Bernoulli(p=0.5, n_models=50, seed=7)
VICTIM = int(DESIGN.seeds(torch.tensor([12])))
DESCRIPTION = Description(
    name="made-up",
    digest="made-up",
    output="sum",
    normalisation="count",
    step_policy="fixed",
    train_labels=("a", "b", "c"),
    target_labels=("x",),
)


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    """Leave the environment and the home folder as they were."""
    with pytest.MonkeyPatch.context() as patch:
        # Else Ray draws a token and keeps it in the home folder.
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        for name in ("RAY_ADDRESS", "RAY_AUTH_MODE"):
            patch.setenv(name, "")
            patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def short_folder() -> Iterator[str]:
    """Ray's sockets live here, and a socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:
        yield folder


@pytest.fixture(scope="module")
def engine(environment: None, short_folder: str) -> Iterator[RayEngine]:
    # Ray counts a GPU that is not there; none of these tests computes on it.
    options = {
        "_temp_dir": short_folder,
        "object_store_memory": 100_000_000,
        "num_gpus": 1,
    }
    before = descendants(os.getpid())
    with ray_cluster(processes=2, options=options) as started:
        ours = descendants(os.getpid()) - before
        yield started
        ours |= descendants(os.getpid()) - before
    assert not ray.is_initialized()
    assert not still_running(ours)


def descendants(root: int) -> set[int]:
    """Return the processes below one, from the kernel's table."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents[int(stat.parent.name)] = int(parent)
    found: set[int] = set()
    below = {root}
    while below:
        below = {child for child, parent in parents.items() if parent in below}
        found |= below
    return found


def still_running(processes: set[int]) -> set[int]:
    """Return those that have not ended ten seconds from now."""
    assert processes, "nothing was ever started"
    limit = time.monotonic() + 10
    while processes and time.monotonic() < limit:
        processes = {pid for pid in processes if is_running(pid)}
        time.sleep(0.1)
    return processes


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def numbers(weights: Tensor, seeds: Tensor) -> Tensor:
    binary = weights @ torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    return (binary + 8 * (seeds % 1024))[:, None]


def die_once(
    how: Callable[[], None], marker: Path, weights: Tensor, seeds: Tensor
) -> Tensor:
    if VICTIM in seeds and not marker.exists():
        marker.touch()
        how()
    return numbers(weights, seeds)


def leave() -> None:
    os._exit(1)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_always(folder: Path, weights: Tensor, seeds: Tensor) -> Tensor:
    Path(folder, secrets.token_hex(4)).touch()
    kill()
    return numbers(weights, seeds)


def refuse(folder: Path, weights: Tensor, seeds: Tensor) -> Tensor:
    if VICTIM in seeds:
        Path(folder, secrets.token_hex(4)).touch()
        raise ArithmeticError("weights must be nicer")
    return numbers(weights, seeds)


class TwoArguments(Exception):
    """Cannot be pickled: its argument is not its constructor's."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def raise_two_arguments(task: int) -> None:
    raise TwoArguments(task, 2)


def threads(task: int) -> int:
    return torch.get_num_threads()


def fail_at_zero(folder: Path, task: int) -> int:
    Path(folder, str(task)).touch()
    if task == 0:
        raise ArithmeticError("zero")
    return task


def sleep_long(task: int) -> None:
    time.sleep(10 * SECONDS)


def box(function: Callable[[Tensor, Tensor], Tensor]) -> BlackBox:
    return BlackBox(description=DESCRIPTION, train_and_measure=function)


def results(engine: Engine, function: Callable[[Any], Any], n: int) -> dict[int, Any]:
    found: dict[int, Any] = {}
    engine.run(function, range(n), found.__setitem__)
    return found


LOGISTIC = LogisticRegression(data=table(12, 3, classes=2, seed=0), ridge=0.1)
NETWORK = Network(
    make_module=MLP((3, 4, 2)),
    data=table(12, 3, classes=2, seed=0),
    training=SGD(epochs=2, batch_size=4),
)


@pytest.mark.parametrize("problem", [LOGISTIC, NETWORK], ids=["logistic", "network"])
def test_outputs_and_stored_bytes_are_the_local_engines(
    engine: RayEngine, problem: Problem, tmp_path: Path
) -> None:
    counts: list[int] = []
    here, there = tmp_path / "here", tmp_path / "there"
    alone = collect(problem, DESIGN, store=here, block=8)
    found = collect(
        problem, DESIGN, store=there, engine=engine, block=8, progress=counts.append
    )
    assert torch.equal(found.outputs, alone.outputs)
    assert files(there) == files(here)
    assert sum(counts) == DESIGN.n_models
    in_memory = collect(problem, DESIGN, engine=engine, block=8)
    assert torch.equal(in_memory.outputs, alone.outputs)


@pytest.mark.parametrize("how", [leave, kill])
def test_a_worker_that_dies_in_the_middle_costs_its_block_alone(
    engine: RayEngine, how: Callable[[], None], tmp_path: Path
) -> None:
    marker, counts = tmp_path / "died", list[int]()
    problem = box(partial(die_once, how, marker))
    there = tmp_path / "there"
    collect(
        problem, DESIGN, store=there, engine=engine, block=5, progress=counts.append
    )
    assert marker.exists()
    collect(box(numbers), DESIGN, store=tmp_path / "here", block=5)
    assert files(there) == files(tmp_path / "here")
    assert sum(counts) == DESIGN.n_models


@pytest.mark.parametrize("max_retries", [0, 1])
def test_a_task_that_kills_every_worker_is_given_up(
    engine: RayEngine, max_retries: int, tmp_path: Path
) -> None:
    limited = RayEngine(max_retries=max_retries)
    problem = box(partial(die_always, tmp_path))
    with pytest.raises(WorkerDied, match=f"died {max_retries + 1} times on task 0"):
        collect(problem, DESIGN, engine=limited, block=DESIGN.n_models)
    assert len(list(tmp_path.iterdir())) == max_retries + 1


def test_a_tasks_own_exception_is_raised_once_and_not_retried(
    engine: RayEngine, tmp_path: Path
) -> None:
    problem = box(partial(refuse, tmp_path))
    with pytest.raises(ArithmeticError) as caught:
        collect(problem, DESIGN, engine=engine, block=5)
    assert type(caught.value) is ArithmeticError
    assert str(caught.value) == "weights must be nicer"
    assert "in refuse" in "".join(caught.value.__notes__)
    assert len(list(tmp_path.iterdir())) == 1


def test_what_was_finished_beside_a_failure_is_kept(
    engine: RayEngine, tmp_path: Path
) -> None:
    def tasks() -> Iterator[int]:
        yield from range(2)
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.1)
        time.sleep(1)

    found: dict[int, Any] = {}
    with pytest.raises(ArithmeticError):
        engine.run(partial(fail_at_zero, tmp_path), tasks(), found.__setitem__)
    assert found == {1: 1}


def test_an_exception_that_cannot_travel_keeps_its_name_and_message(
    engine: RayEngine,
) -> None:
    with pytest.raises(RuntimeError) as caught:
        results(engine, raise_two_arguments, 1)
    assert str(caught.value) == "TwoArguments: 0 and 2"


def test_code_that_workers_lack_is_reported_as_missing(
    engine: RayEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = ModuleType("absent_on_workers")
    exec("def function(task): return task", absent.__dict__)
    monkeypatch.setitem(sys.modules, "absent_on_workers", absent)
    with pytest.raises(ModuleNotFoundError, match="absent_on_workers"):
        results(engine, absent.function, 1)


def test_tasks_use_one_thread(engine: RayEngine) -> None:
    assert results(engine, threads, 3) == {0: 1, 1: 1, 2: 1}
    assert results(RayEngine(num_cpus=2), threads, 1) == {0: 1}


def test_tasks_are_taken_as_places_become_free(engine: RayEngine) -> None:
    taken: list[int] = []
    landed: list[tuple[int, int]] = []

    def tasks() -> Iterator[int]:
        for task in range(20):
            taken.append(task)
            yield task

    def land(index: int, result: int) -> None:
        landed.append((index, len(taken) - len(landed)))

    engine.run(abs, tasks(), land)
    assert sorted(index for index, _ in landed) == list(range(20))
    assert max(in_flight for _, in_flight in landed) <= 2 * engine.places() == 4


def test_no_more_tasks_run_at_a_time_than_were_asked_for(engine: RayEngine) -> None:
    taken: list[int] = []
    landed: list[int] = []

    def tasks() -> Iterator[int]:
        for task in range(8):
            taken.append(len(landed))
            yield task

    RayEngine(processes=1).run(abs, tasks(), lambda index, _: landed.append(index))
    assert landed == list(range(8))
    # Each is taken when all before it have ended.
    assert taken == list(range(8))
    with ray_cluster(processes=2) as second:
        # No fewer than the cluster has places for: some may wait there.
        assert second == RayEngine(processes=2)
        assert results(second, abs, 6) == {i: i for i in range(6)}


def device(task: int) -> str:
    return str(worker_device())


def test_a_task_without_a_gpu_trains_on_the_cpu(engine: RayEngine) -> None:
    assert results(engine, device, 2) == {0: "cpu", 1: "cpu"}


def test_a_gpu_that_torch_does_not_see_is_named(engine: RayEngine) -> None:
    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU here")
    with pytest.raises(ValueError, match=r"must be of this machine \(cpu\), got 'cuda"):
        results(RayEngine(num_gpus=0.5), device, 1)


@pytest.mark.parametrize(("assigned", "expected"), [([], "cpu"), ([3], "cuda:0")])
def test_a_task_trains_on_the_first_gpu_that_ray_lets_it_see(
    assigned: list[int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: assigned)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(assigned))
    assert _on_worker(ray.cloudpickle.dumps(device), 0) == expected
    assert device(0) == "cpu"


def test_ctrl_c_frees_the_workers_at_once(engine: RayEngine) -> None:
    timer = threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        results(engine, sleep_long, 3)
    timer.join()
    before = time.monotonic()
    assert results(engine, abs, 4) == {0: 0, 1: 1, 2: 2, 3: 3}
    assert time.monotonic() - before < SECONDS


def test_an_engine_in_a_running_cluster_leaves_it_running(engine: RayEngine) -> None:
    with ray_cluster(num_cpus=0.5, max_retries=0) as second:
        assert second == RayEngine(num_cpus=0.5, max_retries=0)
        assert second.places() == 4
        assert results(second, abs, 2) == {0: 0, 1: 1}
    assert results(engine, abs, 2) == {0: 0, 1: 1}


def test_a_task_that_no_place_of_this_machine_can_hold_is_refused(
    engine: RayEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    for name in ("init", "shutdown"):
        monkeypatch.setattr(ray, name, lambda **_: None)
    refused = r"\(CPU 2, GPU 1\), got 3 and 0$"
    with pytest.raises(ValueError, match=refused), ray_cluster(num_cpus=3):
        pass


def test_the_command_line_collects_on_ray(engine: RayEngine, tmp_path: Path) -> None:
    chosen = ["--problem", "diabetes-ridge", "--models", "20", "--block", "8"]
    there, here = tmp_path / "there", tmp_path / "here"
    where = ["--store", str(there), "--engine", "ray"]
    done = CliRunner().invoke(cli, ["collect", *chosen, *where])
    assert done.exit_code == 0, done.output
    design = Bernoulli(p=0.5, n_models=20, seed=0)
    collect(ready_problem("diabetes-ridge"), design, store=here, block=8)
    assert files(there) == files(here)


COMMAND = """
import sys
from functools import partial
from pathlib import Path
import test_ray_engine as t
from dmtheory.cli import main, runs

marker = Path(sys.argv[-1])

def made(*_):
    return t.box(partial(t.die_once, t.kill, marker))

if __name__ == "__main__":
    runs.ready_problem = made
    sys.argv = ["dmtheory", "collect", *sys.argv[1:-1]]
    main()
"""


def test_standard_output_holds_json_alone_when_a_worker_dies(
    engine: RayEngine, tmp_path: Path
) -> None:
    address = ray.get_runtime_context().gcs_address
    chosen = ["--problem", "made-up", "--models", "50", "--seed", "7", "--block", "5"]
    where = ["--engine", "ray", "--address", address, "--processes", "2", "--json"]
    store, marker = str(tmp_path / "store"), tmp_path / "died"
    done = run(COMMAND, *chosen, *where, "--store", store, str(marker))
    assert done.returncode == 0, done.stderr
    assert marker.exists()
    # Ray has said it, elsewhere.
    assert "worker died" in done.stderr
    assert json.loads(done.stdout)["trained"] == DESIGN.n_models
    collect(box(numbers), DESIGN, store=tmp_path / "here", block=5)
    assert files(tmp_path / "store") == files(tmp_path / "here")


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ([], {"processes": None, "num_gpus": 0.0}),
        (["--processes", "3"], {"processes": 3, "num_gpus": 0.0}),
        (["--devices", "cuda"], {"processes": None, "num_gpus": 1.0}),
    ],
)
def test_options_of_the_command_reach_the_cluster(
    given: list[str],
    passed: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []

    def cluster(address: str | None, **options: Any) -> Any:
        seen.append((address, options))
        return nullcontext(Serial())

    monkeypatch.setattr(ray_module, "ray_cluster", cluster)
    chosen = ["--problem", "diabetes-ridge", "--models", "4", "--engine", "ray"]
    where = ["--address", "there", "--store", str(tmp_path / "store"), "--json"]
    done = CliRunner().invoke(cli, ["collect", *chosen, *given, *where])
    assert done.exit_code == 0, done.output
    assert seen == [("there", passed)]


def test_collect_opens_a_cluster_by_name_and_closes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    events: list[str] = []

    @contextmanager
    def cluster() -> Iterator[Serial]:
        events.append("open")
        try:
            yield Serial()
        finally:
            events.append("close")

    monkeypatch.setattr(ray_module, "ray_cluster", cluster)
    alone = collect(box(numbers), DESIGN, block=8)
    found = collect(box(numbers), DESIGN, block=8, engine="ray")
    assert torch.equal(found.outputs, alone.outputs)
    assert events == ["open", "close"]
    with pytest.raises(ArithmeticError, match="nicer"):
        collect(box(partial(refuse, tmp_path)), DESIGN, block=5, engine="ray")
    assert events == ["open", "close"] * 2
    store = tmp_path / "store"
    for _ in range(2):
        collect(box(numbers), DESIGN, store=store, block=8, engine="ray")
    # The second run has nothing to train.
    assert events == ["open", "close"] * 3


def test_collect_joins_the_running_cluster_by_name(engine: RayEngine) -> None:
    alone = collect(box(numbers), DESIGN, block=8)
    found = collect(box(numbers), DESIGN, block=8, engine="ray")
    assert torch.equal(found.outputs, alone.outputs)
    assert results(engine, abs, 2) == {0: 0, 1: 1}


JOIN = """
import os, sys
import torch
from dmtheory.engines.ray_cluster import ray_cluster
os.environ["RAY_ADDRESS"] = sys.argv[1]
with ray_cluster() as engine:
    engine.run(abs, range(3), print)
"""


def test_another_process_joins_by_address_and_leaves_the_cluster(
    engine: RayEngine,
) -> None:
    address = ray.get_runtime_context().gcs_address
    done = run(JOIN, address)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n")) == ["", "0 0", "1 1", "2 2"]
    assert results(engine, abs, 2) == {0: 0, 1: 1}


START = """
import sys
import test_ray_engine as t
from dmtheory.engines.ray_cluster import ray_cluster

def stop(index, result):
    print(*t.descendants(t.os.getpid()), flush=True)
    raise KeyboardInterrupt

options = {"_temp_dir": sys.argv[1], "object_store_memory": 100_000_000}
try:
    with ray_cluster(processes=1, options=options) as engine:
        engine.run(abs, range(3), stop)
except KeyboardInterrupt:
    print(*t.descendants(t.os.getpid()), "left")
"""


def test_a_cluster_that_was_started_here_ends_with_its_block(
    environment: None, short_folder: str
) -> None:
    done = run(START, short_folder)
    assert done.returncode == 0, done.stderr
    during, after = done.stdout.splitlines()
    assert len(during.split()) >= 3, "a raylet, a control server and a worker"
    assert not still_running({int(pid) for pid in during.split()})
    assert after == "left"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(TEST_FOLDERS)},
        timeout=2 * SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_cpus": -1}, "num_cpus and num_gpus must be >= 0, got -1 and 0"),
        ({"num_gpus": float("nan")}, "must be >= 0, got 1 and nan"),
        ({"num_cpus": 0}, "num_cpus and num_gpus must not both be 0"),
        ({"max_retries": -1}, "max_retries must be at least 0, got -1"),
        ({"processes": 0}, "processes must be at least 1, got 0"),
        ({"processes": -2}, "processes must be at least 1, got -2"),
    ],
)
def test_what_no_engine_can_be_is_refused_before_anything_starts(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message), ray_cluster(**options):
        pass


def test_without_ray_one_line_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['ray'] = None; import dmtheory.engines.ray_cluster"
    )
    done = run(script)
    last = done.stderr.strip().splitlines()[-1]
    assert last == "ImportError: the Ray engine needs Ray: pip install dmtheory[ray]"

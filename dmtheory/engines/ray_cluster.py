"""Run blocks of work on a Ray cluster: a running one, or one started here."""

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dmtheory.checks import check_at_least
from dmtheory.engines.devices import CPU, check_devices, device_given
from dmtheory.engines.local import WorkerDied

try:
    import ray
    from ray import cloudpickle
    from ray.exceptions import (
        NodeDiedError,
        ObjectLostError,
        OutOfMemoryError,
        WorkerCrashedError,
    )
except ImportError as error:
    raise ImportError("the Ray engine needs Ray: pip install dmtheory[ray]") from error

# What may go well on another worker. An exception of the task itself never does.
_DIED = (WorkerCrashedError, NodeDiedError, OutOfMemoryError, ObjectLostError)


@dataclass(frozen=True, slots=True)
class _Flight:
    """A task that was handed to the cluster."""

    index: int
    task: Any
    attempt: int


@dataclass(frozen=True, slots=True)
class _Failure:
    """What a task raised on its worker."""

    error: Exception


# By reference to the result that is to come.
_Flying = dict[Any, _Flight]


@dataclass(frozen=True, slots=True, kw_only=True)
class RayEngine:
    """Run tasks on the Ray cluster that this process is connected to.

    The function travels once, through the object store; each task takes one worker
    process and one intra-op thread. Twice as many tasks are in flight as the cluster
    has places for, so that workers stay busy while a result is written and a cluster
    that grows by demand grows. A task that reserves a GPU trains on the first of those
    that Ray assigned to it, any other on the CPU.

    Retries are counted here and not by Ray, which repeats a task without limit when
    its worker was killed for memory.

    Attributes:
        num_cpus: CPUs that a task reserves, a fraction allowed.
        num_gpus: GPUs that a task reserves, a fraction allowed; it sees no others.
        max_retries: How often a task is tried again after its worker or machine died.
        processes: Tasks that run at a time, at most; as many as the cluster has places
            for by default.
    """

    num_cpus: float = 1.0
    num_gpus: float = 0.0
    max_retries: int = 3
    processes: int | None = None

    def __post_init__(self) -> None:
        if not (self.num_cpus >= 0 and self.num_gpus >= 0):
            raise ValueError(
                "num_cpus and num_gpus must be >= 0, got "
                f"{self.num_cpus:g} and {self.num_gpus:g}"
            )
        if self.num_cpus + self.num_gpus == 0:
            raise ValueError("num_cpus and num_gpus must not both be 0")
        check_at_least(self.max_retries, 0, "max_retries")
        if self.processes is not None:
            check_at_least(self.processes, 1, "processes")

    def places(self) -> int:
        """Return how many tasks the cluster, as it is now, can run at a time."""
        there = ray.cluster_resources()
        wanted = (("CPU", self.num_cpus), ("GPU", self.num_gpus))
        return min(int(there.get(kind, 0) / share) for kind, share in wanted if share)

    def _in_flight(self) -> int:
        """Return how many tasks the cluster is given at a time."""
        places = max(1, self.places())
        if self.processes is not None and self.processes < places:
            # None may wait there: the cluster has room, and would run it.
            return self.processes
        return 2 * places

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Iterable[Any],
        on_result: Callable[[int, Any], None],
    ) -> None:
        """Call on_result(index, function(task)) for every task, as each is ready.

        Whatever ends the run early, an exception or Ctrl-C, cancels the tasks in
        flight.

        Raises:
            WorkerDied: If a task's worker died every time it was tried.
        """
        remote: Any = ray.remote(_on_worker).options(
            num_cpus=self.num_cpus, num_gpus=self.num_gpus, max_retries=0
        )
        submit = partial(remote.remote, ray.put(cloudpickle.dumps(function)))
        waiting = enumerate(tasks)
        flying: _Flying = {}
        try:
            while True:
                limit = self._in_flight()
                while len(flying) < limit:
                    index, task = next(waiting, (-1, None))
                    if index < 0:
                        break
                    flying[submit(task)] = _Flight(index, task, 1)
                if not flying:
                    return
                ended = [
                    self._land(ready, flying, submit, on_result)
                    for ready in _ready(list(flying))
                ]
                # After the results, so that a failure does not take them with it.
                for failure in filter(None, ended):
                    raise failure
        finally:
            _cancel(list(flying))

    def _land(
        self,
        ready: Any,
        flying: _Flying,
        submit: Callable[[Any], Any],
        on_result: Callable[[int, Any], None],
    ) -> Exception | None:
        """Hand over a result, or try again, or return why there is none."""
        flight = flying.pop(ready)
        try:
            result = ray.get(ready)
        except _DIED as error:
            if flight.attempt > self.max_retries:
                return _gave_up(flight, error)
            again = _Flight(flight.index, flight.task, flight.attempt + 1)
            flying[submit(flight.task)] = again
            return None
        if isinstance(result, _Failure):
            return result.error
        on_result(flight.index, result)
        return None


@contextmanager
def ray_cluster(
    address: str | None = None,
    *,
    processes: int | None = None,
    num_cpus: float = 1.0,
    num_gpus: float = 0.0,
    max_retries: int = 3,
    options: Mapping[str, Any] | None = None,
) -> Iterator[RayEngine]:
    """Connect to a Ray cluster, or start one here, and open an engine on it.

    On leaving, a cluster that was started here is stopped, a connection that was made
    here is closed, and one that was there before stays. When a worker dies Ray says so
    on standard output.

    Args:
        address: A cluster's address, or "auto" for the one that runs on this machine;
            by default the environment's RAY_ADDRESS, and where there is none a new
            cluster of this machine alone.
        processes: Worker processes: as many as a cluster that is started here gets,
            one a core by default; in any other, tasks that run at a time, at most.
        num_cpus: CPUs that a task reserves.
        num_gpus: GPUs that a task reserves.
        max_retries: How often a task is tried again after its worker or machine died.
        options: More arguments of `ray.init`, such as `runtime_env`.

    Yields:
        The engine.

    Raises:
        ValueError: If a task does not fit into a cluster that was started here.
        ConnectionError: If there is no cluster at the address.
    """
    engine = RayEngine(
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        max_retries=max_retries,
        processes=processes,
    )
    if ray.is_initialized():
        yield engine
        return
    joined = address or os.environ.get("RAY_ADDRESS") or "local"
    given = {"log_to_driver": False, "logging_level": "ERROR", **(options or {})}
    try:
        if joined == "local":
            _start(processes, given)
            _check_fits(engine)
        else:
            ray.init(address=joined, **given)
        yield engine
    finally:
        ray.shutdown()


def _start(processes: int | None, options: dict[str, Any]) -> None:
    """Start a cluster of this machine whose workers can import what this process can.

    It has no dashboard and sends no usage statistics.
    """
    given = {"include_dashboard": False, **options}
    path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
    with _environment({"PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"}):
        ray.init(address="local", num_cpus=processes, **given)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _check_fits(engine: RayEngine) -> None:
    # A cluster of several machines may still grow; this one cannot.
    if not engine.places():
        there = ray.cluster_resources()
        raise ValueError(
            f"num_cpus and num_gpus of a task must fit into this machine's cluster "
            f"(CPU {there.get('CPU', 0):g}, GPU {there.get('GPU', 0):g}), got "
            f"{engine.num_cpus:g} and {engine.num_gpus:g}"
        )


def _gave_up(flight: _Flight, error: Exception) -> WorkerDied:
    died = WorkerDied(
        f"a worker died {flight.attempt} times on task {flight.index} "
        f"({type(error).__name__}): it may be out of memory; use smaller blocks or "
        "reserve more CPUs a task"
    )
    died.__cause__ = error
    return died


def _on_worker(stored: bytes, task: Any) -> Any:
    torch.set_num_threads(1)
    try:
        with device_given(_assigned_device()):
            return cloudpickle.loads(stored)(task)
    except Exception as error:
        # As a value: Ray would wrap it in a class of its own, and report it once more
        # for every other task that failed. That the function cannot be loaded, because
        # its module is missing on this machine, is such an error too.
        return _Failure(_portable(error))


def _assigned_device() -> str:
    """Return what a task trains on: Ray hides all GPUs but those it assigned."""
    if not ray.get_gpu_ids():
        return CPU
    check_devices(["cuda:0"])
    return "cuda:0"


def _portable(error: Exception) -> Exception:
    """Return the exception as the driver will get it, with its traceback as a note."""
    text = "".join(traceback.format_exception(error)).rstrip()
    try:
        portable = cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:
        portable = RuntimeError(f"{type(error).__name__}: {error}")
    portable.add_note(f"On the worker:\n{text}")
    return portable


def _ready(flying: list[Any]) -> list[Any]:
    """Wait for one result and return all that are there by then."""
    ray.wait(flying, num_returns=1)
    return ray.wait(flying, num_returns=len(flying), timeout=0)[0]


def _cancel(flying: list[Any]) -> None:
    for ref in flying:
        with suppress(Exception):
            ray.cancel(ref, force=True)

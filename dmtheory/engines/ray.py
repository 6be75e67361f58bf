"""Run blocks of work on a Ray cluster: a running one, or one started here."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch

from dmtheory.checks import check_at_least
from dmtheory.engines.local import WorkerDied

try:
    import ray
    from ray.exceptions import (
        NodeDiedError,
        ObjectLostError,
        OutOfMemoryError,
        RayTaskError,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RayEngine:
    """Run tasks on the Ray cluster that this process is connected to.

    The function travels once, through the object store; each task takes one worker
    process and one intra-op thread. Twice as many tasks are in flight as the cluster
    has places for, so that workers stay busy while a result is written and a cluster
    that grows by demand grows.

    Retries are counted here and not by Ray, which repeats a task without limit when
    its worker was killed for memory.

    Attributes:
        num_cpus: CPUs that a task reserves, a fraction allowed.
        num_gpus: GPUs that a task reserves, a fraction allowed; it sees no others.
        max_retries: How often a task is tried again after its worker or machine died.
    """

    num_cpus: float = 1.0
    num_gpus: float = 0.0
    max_retries: int = 3

    def __post_init__(self) -> None:
        if not (self.num_cpus >= 0 and self.num_gpus >= 0):
            raise ValueError(
                "num_cpus and num_gpus must be >= 0, got "
                f"{self.num_cpus:g} and {self.num_gpus:g}"
            )
        if self.num_cpus + self.num_gpus == 0:
            raise ValueError("num_cpus and num_gpus must not both be 0")
        check_at_least(self.max_retries, 0, "max_retries")

    def places(self) -> int:
        """Return how many tasks the cluster, as it is now, can run at a time."""
        there = ray.cluster_resources()
        wanted = (("CPU", self.num_cpus), ("GPU", self.num_gpus))
        return min(int(there.get(kind, 0) / share) for kind, share in wanted if share)

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
        stored = ray.put(function)
        waiting = enumerate(tasks)
        flying: dict[ray.ObjectRef, _Flight] = {}
        try:
            while True:
                limit = 2 * max(1, self.places())
                while len(flying) < limit:
                    index, task = next(waiting, (-1, None))
                    if index < 0:
                        break
                    self._submit(stored, _Flight(index, task, 1), flying)
                if not flying:
                    return
                for ready in _ready(list(flying)):
                    self._land(stored, ready, flying, on_result)
        finally:
            _cancel(list(flying))

    def _submit(
        self,
        stored: "ray.ObjectRef",
        flight: _Flight,
        flying: "dict[ray.ObjectRef, _Flight]",
    ) -> None:
        remote = ray.remote(
            num_cpus=self.num_cpus, num_gpus=self.num_gpus, max_retries=0
        )(_on_worker)
        flying[remote.remote(stored, flight.task)] = flight

    def _land(
        self,
        stored: "ray.ObjectRef",
        ready: "ray.ObjectRef",
        flying: "dict[ray.ObjectRef, _Flight]",
        on_result: Callable[[int, Any], None],
    ) -> None:
        """Hand over a result; try a task again whose worker died."""
        flight = flying.pop(ready)
        try:
            result = ray.get(ready)
        except _DIED as error:
            if flight.attempt > self.max_retries:
                raise WorkerDied(
                    f"a worker died {flight.attempt} times on task {flight.index} "
                    f"({type(error).__name__}): it may be out of memory; use smaller "
                    "blocks or reserve more CPUs a task"
                ) from error
            again = _Flight(flight.index, flight.task, flight.attempt + 1)
            self._submit(stored, again, flying)
        except RayTaskError as error:
            raise _cause(error) from None
        else:
            on_result(flight.index, result)


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
    here is closed, and one that was there before stays.

    Args:
        address: A cluster's address, or "auto" for the one that runs on this machine;
            by default the environment's RAY_ADDRESS, and where there is none a cluster
            of this machine alone, reached on loopback only.
        processes: Worker processes of a cluster that is started here; one a core by
            default.
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
    engine = RayEngine(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=max_retries)
    if processes is not None:
        check_at_least(processes, 1, "processes")
    if ray.is_initialized():
        yield engine
        return
    joined = address or os.environ.get("RAY_ADDRESS") or "local"
    try:
        if joined == "local":
            _start(processes, dict(options or {}))
            _check_fits(engine)
        else:
            given = {"log_to_driver": False, **(options or {})}
            ray.init(address=joined, **given)
        yield engine
    finally:
        ray.shutdown()


def _start(processes: int | None, options: dict[str, Any]) -> None:
    """Start a cluster of this machine, quiet, without a dashboard or statistics."""
    name = "RAY_USAGE_STATS_ENABLED"
    before = os.environ.get(name)
    os.environ.setdefault(name, "0")
    quiet: dict[str, Any] = {
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": "ERROR",
        "_node_ip_address": "127.0.0.1",
    }
    try:
        ray.init(address="local", num_cpus=processes, **{**quiet, **options})
    finally:
        if before is None:
            del os.environ[name]


def _check_fits(engine: RayEngine) -> None:
    # A cluster of several machines may still grow; this one cannot.
    if not engine.places():
        there = ray.cluster_resources()
        raise ValueError(
            f"num_cpus and num_gpus of a task must fit into this machine's cluster "
            f"(CPU {there.get('CPU', 0):g}, GPU {there.get('GPU', 0):g}), got "
            f"{engine.num_cpus:g} and {engine.num_gpus:g}"
        )


def _on_worker(function: Callable[[Any], Any], task: Any) -> Any:
    torch.set_num_threads(1)
    return function(task)


def _ready(flying: "list[ray.ObjectRef]") -> "list[ray.ObjectRef]":
    """Wait for one result and return all that are there by then."""
    ray.wait(flying, num_returns=1, fetch_local=False)
    return ray.wait(flying, num_returns=len(flying), timeout=0, fetch_local=False)[0]


def _cancel(flying: "list[ray.ObjectRef]") -> None:
    for ref in flying:
        with suppress(Exception):
            ray.cancel(ref, force=True)


def _cause(error: BaseException) -> BaseException:
    """Return the task's own exception, with the worker's traceback as a note."""
    cause: Any = getattr(error, "cause", None)
    if not isinstance(cause, BaseException):
        return error
    if isinstance(cause, RayTaskError):
        return _cause(cause)
    cause.add_note(str(getattr(error, "traceback_str", "")))
    return cause

"""Run blocks of work on this machine: in this process, or in several."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

import torch

from dmtheory.checks import check_at_least
from dmtheory.engines.devices import CPU, check_devices, give_device

# A block whose worker dies this often is not tried again.
MAX_ATTEMPTS = 3


class WorkerDied(RuntimeError):
    """A worker process died on the same task every time it was tried."""


@dataclass(frozen=True, slots=True)
class Serial:
    """Run one task after another in this process, with one intra-op thread.

    Two are slower than one on the small operations of many small models, and much
    slower where another program wants the second core.
    """

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Iterable[Any],
        on_result: Callable[[int, Any], None],
    ) -> None:
        """Call on_result(index, function(task)) for every task, in order."""
        for index, task in enumerate(tasks):
            with _one_thread():
                result = function(task)
            on_result(index, result)


class Processes:
    """Run tasks in a pool of processes, each with one intra-op thread.

    Two intra-op threads are slower than one on the small operations of many small
    models, so parallelism is over blocks of models. A pool whose worker was killed is
    replaced and the tasks in flight are tried again.

    Each process trains on one device for as long as it lives: process k of a pool, old
    or new, on device k mod len(devices).
    """

    def __init__(
        self, n_processes: int | None = None, *, devices: Sequence[str] = (CPU,)
    ) -> None:
        """Prepare a pool; processes start with the first task.

        Args:
            n_processes: Processes, at least 1; one a device by default.
            devices: Names of devices, such as ("cuda:0", "cuda:1").
        """
        check_devices(devices)
        n_processes = len(devices) if n_processes is None else n_processes
        check_at_least(n_processes, 1, "n_processes")
        self._n_processes = n_processes
        self._devices = tuple(devices)
        self._pool = self._start()

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Iterable[Any],
        on_result: Callable[[int, Any], None],
    ) -> None:
        """Call on_result(index, function(task)) for every task, as each is ready.

        Raises:
            WorkerDied: If a task's worker died every time it was tried.
        """
        waiting = enumerate(tasks)
        flying: dict[Future[Any], tuple[int, Any, int]] = {}
        try:
            while True:
                # One task more than workers keeps all busy and the queue short.
                while len(flying) <= self._n_processes:
                    index, task = next(waiting, (-1, None))
                    if index < 0:
                        break
                    flying[self._submit(function, task)] = (index, task, 1)
                if not flying:
                    return
                done = wait(flying, return_when=FIRST_COMPLETED).done
                if any(map(_is_broken, done)):
                    # A broken pool ends every future at once, some with a result.
                    done = wait(flying).done
                # Results first, so that an exception does not take them with it.
                for future in sorted(done, key=lambda f: f.exception() is not None):
                    if not _is_broken(future):
                        index, _, _ = flying.pop(future)
                        on_result(index, future.result())
                if any(map(_is_broken, done)):
                    flying = self._try_again(function, flying)
        except BaseException:
            for future in flying:
                future.cancel()
            raise

    def close(self) -> None:
        """End the processes; tasks that have not started are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        # Spawned, not forked: a fork of a process whose threads hold locks may hang.
        context = get_context("spawn")
        return ProcessPoolExecutor(
            max_workers=self._n_processes,
            mp_context=context,
            initializer=_prepare_worker,
            initargs=(context.Value("q", 0), self._devices),
        )

    def _submit(self, function: Callable[[Any], Any], task: Any) -> Future[Any]:
        try:
            return self._pool.submit(function, task)
        except BrokenProcessPool as error:
            # A worker died since the last result; seen in turn, like any other death.
            future: Future[Any] = Future()
            future.set_exception(error)
            return future

    def _try_again(
        self,
        function: Callable[[Any], Any],
        flying: dict[Future[Any], tuple[int, Any, int]],
    ) -> dict[Future[Any], tuple[int, Any, int]]:
        """Resubmit everything that was in flight; the dead worker may have had any."""
        for index, _, attempt in flying.values():
            if attempt >= MAX_ATTEMPTS:
                raise WorkerDied(
                    f"a worker process died {attempt} times while task {index} was in "
                    "flight: it may be out of memory; use smaller blocks or fewer "
                    "processes"
                )
        self._pool.shutdown(wait=False)
        self._pool = self._start()
        return {
            self._submit(function, task): (index, task, attempt + 1)
            for index, task, attempt in flying.values()
        }


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def process_pool(
    n_processes: int | None = None, *, devices: Sequence[str] = (CPU,)
) -> Iterator[Processes]:
    """Open a pool of processes; on leaving, blocks in flight are waited for.

    A script that opens a pool needs the `if __name__ == "__main__":` guard, because
    its processes import the script anew.

    A problem trains on the device of the weights that it is given; its outputs come
    back to the CPU.

    Args:
        n_processes: Processes, at least 1; one a device by default.
        devices: Devices that they train on, process k on device k mod len(devices);
            `local_devices()` names every GPU of this machine.

    Yields:
        The pool.

    Raises:
        ValueError: If a device does not exist, or there are no processes.
    """
    pool = Processes(n_processes, devices=devices)
    try:
        yield pool
    finally:
        pool.close()


def _is_broken(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _prepare_worker(started: Any, devices: tuple[str, ...]) -> None:
    torch.set_num_threads(1)
    with started.get_lock():
        number = started.value
        started.value += 1
    give_device(devices[number % len(devices)])
    # Ctrl-C in a terminal reaches workers too; they end without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    """Wait for the driver's end: a worker whose driver was killed would stay."""
    driver = parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)

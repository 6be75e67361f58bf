"""Run blocks of work on this machine: in this process, or in several."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, Protocol

import torch


class Engine(Protocol):
    """Something that runs a function over tasks and returns results in their order."""

    def map(
        self,
        function: Callable[[Any], Any],
        tasks: list[Any],
        done: Callable[[int], None],
    ) -> list[Any]:
        """Return function(task) for each task; call done(index) as each ends."""
        ...


@dataclass(frozen=True, slots=True)
class Serial:
    """Run one task after another in this process."""

    def map(
        self,
        function: Callable[[Any], Any],
        tasks: list[Any],
        done: Callable[[int], None],
    ) -> list[Any]:
        """Return function(task) for each task; call done(index) as each ends."""
        results = []
        for index, task in enumerate(tasks):
            results.append(function(task))
            done(index)
        return results


@dataclass(frozen=True, slots=True)
class Processes:
    """Run tasks in a pool of processes, each with one intra-op thread.

    Two intra-op threads are slower than one on the small operations of many small
    models, so parallelism is over blocks of models.

    Attributes:
        pool: The pool, from `process_pool`.
    """

    pool: ProcessPoolExecutor = field(repr=False)

    def map(
        self,
        function: Callable[[Any], Any],
        tasks: list[Any],
        done: Callable[[int], None],
    ) -> list[Any]:
        """Return function(task) for each task; call done(index) as each ends."""
        futures = [self.pool.submit(function, task) for task in tasks]
        try:
            results = []
            for index, future in enumerate(futures):
                results.append(future.result())
                done(index)
            return results
        except BaseException:
            for future in futures:
                future.cancel()
            raise


@contextmanager
def process_pool(n: int) -> Iterator[Processes]:
    """Open a pool of n processes; on leaving, running blocks end and no new one starts.

    Processes are spawned, not forked: a fork of a process whose threads hold locks may
    hang. A script that opens a pool needs the `if __name__ == "__main__":` guard.
    """
    with ProcessPoolExecutor(
        max_workers=n, mp_context=get_context("spawn"), initializer=_one_thread
    ) as pool:
        try:
            yield Processes(pool)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _one_thread() -> None:
    torch.set_num_threads(1)

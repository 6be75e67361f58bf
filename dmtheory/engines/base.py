"""What an engine is: something that runs a function over tasks."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Engine(Protocol):
    """Runs a function over tasks and hands over each result as it is ready."""

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Iterable[Any],
        on_result: Callable[[int, Any], None],
    ) -> None:
        """Call on_result(index, function(task)) for every task, in any order.

        Tasks are taken from the iterable only as workers become free, so a lazy
        iterable may look at what has been done in the meantime.
        """
        ...


def run_all(
    engine: Engine,
    function: Callable[[Any], Any],
    tasks: Iterable[Any],
    done: Callable[[int], None] = lambda _: None,
) -> list[Any]:
    """Return function(task) of every task in the tasks' order.

    Args:
        engine: Where they run.
        function: What is run; picklable where the engine has other processes.
        tasks: Its arguments.
        done: Called with the number of results so far.

    Returns:
        One result a task.
    """
    results: dict[int, Any] = {}

    def keep(index: int, result: Any) -> None:
        results[index] = result
        done(len(results))

    engine.run(function, tasks, keep)
    return [results[index] for index in sorted(results)]

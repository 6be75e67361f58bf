"""Engines by name: the word where an object is more than is needed."""

from contextlib import AbstractContextManager, nullcontext

from dmtheory.checks import check_choice
from dmtheory.engines.base import Engine
from dmtheory.engines.local import Serial

ENGINES = ("local", "ray")


def engine_named(engine: Engine | str | None) -> AbstractContextManager[Engine]:
    """Return a context that opens the engine of a name.

    Args:
        engine: "local" is this process; "ray" is the cluster that the environment
            names, or one of this machine, which is stopped on leaving. An engine is
            handed through and stays open. None is "local".

    Returns:
        A context manager whose value is the engine.

    Raises:
        ValueError: If there is no engine of that name.
        TypeError: If it is neither a name nor an engine.
        ImportError: If the engine is Ray and Ray is not installed.
    """
    if engine is None:
        return nullcontext(Serial())
    if isinstance(engine, str):
        check_choice(engine, ENGINES, "engine")
        return _ray() if engine == "ray" else nullcontext(Serial())
    # A class has the methods of an engine too.
    if isinstance(engine, type) or not isinstance(engine, Engine):
        raise TypeError(
            f"engine must be one of {', '.join(ENGINES)} or an engine such as "
            f"process_pool(2) opens, got {engine!r}"
        )
    return nullcontext(engine)


def _ray() -> AbstractContextManager[Engine]:
    # Ray is optional, and slow to import.
    from dmtheory.engines.ray_cluster import ray_cluster

    return ray_cluster()

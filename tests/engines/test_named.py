"""Engines by name, beside engines that are open already."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from counting import Counting, contents

from dmtheory import collect, process_pool
from dmtheory.designs import Bernoulli
from dmtheory.engines.base import Engine
from dmtheory.engines.local import Serial
from dmtheory.engines.named import engine_named
from dmtheory.responses.collect import collect_into

DESIGN = Bernoulli(p=0.5, n_models=13, seed=2)


class Kept:
    """An engine that says whether it was closed."""

    closed = False

    def run(
        self,
        function: Callable[[Any], Any],
        tasks: Iterable[Any],
        on_result: Callable[[int, Any], None],
    ) -> None:
        Serial().run(function, tasks, on_result)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("name", ["local", None])
def test_local_is_this_process_and_the_default(
    name: str | None, tmp_path: Path
) -> None:
    with engine_named(name) as engine:
        assert engine == Serial()
    alone = collect(Counting(), DESIGN, block=5)
    found = collect(Counting(), DESIGN, block=5, engine=name)
    assert torch.equal(found.outputs, alone.outputs)
    collect(Counting(), DESIGN, store=tmp_path / "a", block=5)
    collect_into(tmp_path / "b", Counting(), DESIGN, block=5, engine=name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_an_engine_that_is_open_stays_open() -> None:
    kept: Engine = Kept()
    with engine_named(kept) as engine:
        assert engine is kept
    collect(Counting(), DESIGN, engine=kept)
    assert not kept.closed


@pytest.mark.parametrize(
    ("engine", "kind", "message"),
    [
        ("slurm", ValueError, "engine must be one of local, ray; got 'slurm'"),
        ("", ValueError, "engine must be one of local, ray; got ''"),
    ],
)
def test_an_unknown_name_is_refused_before_a_store_is_made(
    engine: str, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    for store in (None, tmp_path / "store"):
        with pytest.raises(kind, match=message):
            collect(Counting(), DESIGN, store=store, engine=engine)
    assert not list(tmp_path.iterdir())


# Outside the tests nothing checks annotations before the code runs.
UNCHECKED = """
from dmtheory import process_pool
from dmtheory.engines.local import Processes, Serial
from dmtheory.engines.named import engine_named

if __name__ == "__main__":
    for wrong in (4, process_pool(2), Serial, Processes):
        try:
            engine_named(wrong)
        except TypeError as error:
            print(error)
"""


def test_what_is_no_engine_is_refused_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", UNCHECKED],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    start = (
        "engine must be one of local, ray or an engine such as process_pool(2) opens"
    )
    assert all(line.startswith(f"{start}, got ") for line in lines)


def test_a_pool_is_an_engine() -> None:
    with process_pool(1) as pool, engine_named(pool) as engine:
        assert engine is pool

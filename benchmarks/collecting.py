"""The cost of collecting: CPU time outside training, bytes, time to open and read.

    python -m benchmarks.collecting

No other library keeps responses while it trains them: the peer of the overhead is the
training step itself, and of reading one column the reading of everything.
"""

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from benchmarks.timing import machine, median_with_interval, publish
from dmtheory.catalogue import ready_problem
from dmtheory.designs import Bernoulli
from dmtheory.problems import BlackBox, Description, Quality
from dmtheory.problems.base import Measured
from dmtheory.responses.collect import collect_into
from dmtheory.responses.responses import open_dataset
from dmtheory.responses.run import run_config
from dmtheory.responses.store import Block, open_store, read_store

REPEATS = 9
MODELS = 512
LARGE = (100_000, 1_000)
DELAY = 0.02


@dataclass(frozen=True, eq=False)
class Timed:
    """A problem that adds up the CPU time spent inside its training step."""

    problem: Measured
    spent: list[float] = field(default_factory=list)

    @property
    def description(self) -> Description:
        """That of the problem."""
        return self.problem.description

    def respond(self, weights: Tensor, seeds: Tensor) -> Tensor:
        """Train and measure."""
        return self.measure(weights, seeds)[0]

    def measure(self, weights: Tensor, seeds: Tensor) -> tuple[Tensor, Quality]:
        """Train and measure, and note how long it took."""
        clock = time.process_time()
        found = self.problem.measure(weights, seeds)
        self.spent.append(time.process_time() - clock)
        return found


def overhead(folder: Path) -> tuple[list[float], float]:
    """Return CPU time outside over inside the training step, a repeat; and bytes."""
    problem, ratios, bytes_a_model = ready_problem("digits-network"), [], 0.0
    for repeat in range(REPEATS + 1):
        timed, store = Timed(problem), folder / f"{repeat}.zarr"
        design = Bernoulli(p=0.5, n_models=MODELS, seed=repeat)
        clock = time.process_time()
        collect_into(store, timed, design, dtype="float32")
        inside = sum(timed.spent)
        ratios.append((time.process_time() - clock - inside) / inside)
        size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
        bytes_a_model = size / MODELS
    # The first repeat pays for imports and first calls.
    return ratios[1:], bytes_a_model


def large_store(folder: Path) -> dict[str, Any]:
    """Return seconds to open a large half-precision store and to read from it."""
    n_models, n_targets = LARGE
    description = Description(
        name="large",
        digest="large",
        output="margin",
        normalisation="sum",
        step_policy="fixed",
        train_labels=tuple(map(str, range(100))),
        target_labels=tuple(map(str, range(n_targets))),
    )
    problem = BlackBox(description=description, train_and_measure=lambda w, s: w)
    design = Bernoulli(p=0.5, n_models=n_models)
    config = run_config(problem.description, design, block=256, dtype="float16")
    path = folder / "large.zarr"
    store = open_store(path, config, n_models)
    rng = np.random.default_rng(0)
    for block in range(store.n_blocks):
        rows = len(store.rows(block))
        outputs = rng.normal(size=(rows, n_targets)).astype(np.float16)
        status = np.ones(rows, np.uint8)
        store.write(block, Block(columns=outputs, status=status, n_targets=n_targets))
    times: dict[str, list[float]] = {"open": [], "one column": [], "everything": []}
    for _ in range(5):
        clock = time.perf_counter()
        dataset = open_dataset(path)
        times["open"].append(time.perf_counter() - clock)
        clock = time.perf_counter()
        dataset.outputs[:, 7].to_numpy()
        times["one column"].append(time.perf_counter() - clock)
        clock = time.perf_counter()
        dataset.outputs.to_numpy()
        times["everything"].append(time.perf_counter() - clock)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    seconds = {name: median_with_interval(values) for name, values in times.items()}
    return {
        "models": n_models,
        "targets": n_targets,
        "bytes": size,
        "bytes over the outputs' own": size / (n_models * n_targets * 2),
        "seconds": seconds,
        "one column over everything": seconds["one column"]["median"]
        / seconds["everything"]["median"],
    }


class Far(MemoryStore):
    """A store in memory whose every reading takes as long as over a network."""

    async def get(self, key: str, *rest: Any, **more: Any) -> Buffer | None:
        """Return a value, later."""
        await asyncio.sleep(DELAY)
        return await super().get(key, *rest, **more)


def far_store() -> dict[str, Any]:
    """Return seconds to check a far store's blocks, together and one by one."""
    problem = ready_problem("diabetes-ridge")
    design = Bernoulli(p=0.5, n_models=400, seed=0)
    store = Far()
    collect_into(store, problem, design, block=4)
    opened = read_store(store)
    together: list[float] = []
    for _ in range(5):
        clock = time.perf_counter()
        assert len(opened.done(range(opened.n_blocks))) == opened.n_blocks
        together.append(time.perf_counter() - clock)
    clock = time.perf_counter()
    for block in range(opened.n_blocks):
        opened.read(block)
    alone = time.perf_counter() - clock
    found = median_with_interval(together)
    return {
        "blocks": opened.n_blocks,
        "seconds a request": DELAY,
        "seconds": found,
        "one by one over together": alone / found["median"],
    }


def main() -> None:
    """Run the benchmark."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        ratios, bytes_a_model = overhead(Path(folder))
        result = {
            "benchmark": "collecting",
            "peer": "the training step alone, in the same run",
            "models": MODELS,
            "overhead of CPU time": median_with_interval(ratios),
            "bytes a model (30 targets, float32)": bytes_a_model,
            "large store": large_store(Path(folder)),
            "far store": far_store(),
            "machine": machine("torch", "zarr", "xarray", "numpy"),
        }
    publish("collecting", result)


if __name__ == "__main__":
    main()

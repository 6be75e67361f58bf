"""Train a model on each row of a design and keep its outputs."""

from collections.abc import Callable, Iterator
from functools import partial
from random import SystemRandom
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.designs.base import Design
from dmtheory.engines.base import Engine, run_all
from dmtheory.engines.devices import CPU, worker_device
from dmtheory.engines.named import engine_named
from dmtheory.problems.base import Measured, Problem
from dmtheory.responses.responses import Responses, responses_of
from dmtheory.responses.run import run_config
from dmtheory.responses.store import (
    BlockError,
    NotWritten,
    ResponseStore,
    open_store,
)

Progress = Callable[[int], None]


def collect(
    problem: Problem,
    design: Design,
    *,
    store: Any = None,
    engine: Engine | str | None = "local",
    block: int = 256,
    dtype: str = "float64",
    progress: Progress | None = None,
) -> Responses:
    """Train a model on each row of the design and return its outputs.

    The result depends on (problem, design, block) alone, not on the engine, the order
    of blocks, or interruptions.

    Args:
        problem: The training map and its outputs.
        design: Weight vectors and seeds.
        store: Where blocks are kept: a path, a URL or a zarr store; in memory if None.
        engine: Where blocks run: "local" in this process, "ray" on a cluster that is
            opened for the call, or an engine that is open, such as `process_pool(4)`.
        block: Models a block, at least 1; the unit of work and of storage.
        dtype: Precision of stored outputs: float64, float32 or float16.
        progress: Called with the number of models that were just finished.

    Returns:
        Outputs of all rows, in order.

    Raises:
        ValueError: If an argument is out of range, or no engine has the name.
        TypeError: If the engine is neither a name nor an engine.
    """
    check_at_least(block, 1, "block")
    if store is not None:
        filled = collect_into(
            store,
            problem,
            design,
            engine=engine,
            block=block,
            dtype=dtype,
            progress=progress,
        )
        return responses_of(filled)
    rows = torch.arange(design.n_models).split(block)

    def done(n_blocks: int) -> None:
        if progress is not None:
            progress(len(rows[n_blocks - 1]))

    train = partial(train_block, problem, design)
    with engine_named(engine) as workers:
        columns = torch.cat(run_all(workers, train, rows, done))
    n_targets = problem.description.n_targets
    return Responses(
        outputs=columns[:, :n_targets],
        design=design,
        description=problem.description,
        diverged=_diverged(columns, n_targets),
        qualities=columns[:, n_targets:],
    )


def collect_into(
    store: Any,
    problem: Problem,
    design: Design,
    *,
    engine: Engine | str | None = "local",
    block: int = 256,
    dtype: str = "float64",
    shard: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
) -> ResponseStore:
    """Train the models that a store lacks and write them to it, block by block.

    Interrupt at any moment and call again: blocks that are there stay, damaged ones
    are trained anew. Several collectors may share one store.

    Args:
        store: A path, a URL that zarr reaches, or a zarr store.
        problem: The training map and its outputs.
        design: Weight vectors and seeds; with more rows than before it extends the run.
        engine: Where blocks run: "local" in this process, "ray" on a cluster that is
            opened for the call, or an engine that is open, such as `process_pool(4)`.
        block: Models a block, at least 1.
        dtype: Precision of stored outputs: float64, float32 or float16.
        shard: (i, n) trains the blocks i, i + n, ... only, for array jobs.
        progress: Called with the number of models that were just found or finished.

    Returns:
        The open store.

    Raises:
        ValueError: If an argument is out of range, or no engine has the name.
        TypeError: If the engine is neither a name nor an engine.
        StoreError: If the store holds something else, or cannot be reached.
    """
    chosen = engine_named(engine)
    index, n_shards = shard
    if n_shards < 1 or not 0 <= index < n_shards:
        raise ValueError(f"shard must be i/n with 0 <= i < n, got {index}/{n_shards}")
    config = run_config(problem.description, design, block=block, dtype=dtype)
    opened = open_store(store, config, design.n_models)
    mine = [b for b in range(opened.n_blocks) if b % n_shards == index]
    found = opened.contents(mine)
    wrong = {b: content for b, content in found if isinstance(content, BlockError)}
    missing = [b for b in mine if b in wrong]
    damaged = {b for b in missing if not isinstance(wrong[b], NotWritten)}
    report = progress or (lambda _: None)
    report(sum(len(opened.rows(b)) for b in mine if b not in wrong))
    if not missing:
        return opened
    taken: list[int] = []

    def keep(task: int, columns: Tensor) -> None:
        diverged = _diverged(columns, problem.description.n_targets)
        opened.write(taken[task], opened.cast(columns.numpy(), diverged.numpy()))
        report(len(columns))

    train = partial(train_block, problem, design)
    with chosen as workers:
        workers.run(train, _to_train(opened, missing, damaged, taken), keep)
    return opened


def train_block(
    problem: Problem, design: Design, rows: Int64[Tensor, " models"]
) -> Float[Tensor, "models columns"]:
    """Return outputs, then qualities, of some rows of a design: float64, on the CPU.

    Weights and seeds are made on the CPU, the same bits everywhere, and moved to the
    device of this process, which is where the problem trains.

    Raises:
        TypeError: If qualities are named that the problem does not measure.
    """
    device = worker_device()
    weights = design.weights(rows, problem.description.n_train).to(device)
    seeds = design.seeds(rows).to(device)
    if problem.description.qualities:
        if not isinstance(problem, Measured):
            raise TypeError(
                "problem must have a method `measure`, since its description names "
                f"qualities, got {type(problem).__name__}: leave `qualities` empty"
            )
        outputs, quality = problem.measure(weights, seeds)
        outputs = torch.cat([outputs, quality.columns().to(outputs)], dim=1)
    else:
        outputs = problem.respond(weights, seeds)
    return outputs.detach().to(CPU, torch.float64)


def _to_train(
    store: ResponseStore, missing: list[int], damaged: set[int], taken: list[int]
) -> Iterator[Tensor]:
    """Yield the rows of blocks that are still missing when their turn comes.

    Another collector may have written a block by then. Each takes blocks in an order of
    its own: two that walk in step would train every block twice.
    """
    for block in SystemRandom().sample(missing, len(missing)):
        if block in damaged or not store.is_marked(block):
            taken.append(block)
            yield torch.arange(store.rows(block).start, store.rows(block).stop)


def _diverged(columns: Tensor, n_targets: int) -> Bool[Tensor, " models"]:
    return ~torch.isfinite(columns[:, :n_targets]).all(1)

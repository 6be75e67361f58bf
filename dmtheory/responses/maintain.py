"""Look after stores: verify one, merge the shards of an array job."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dmtheory.designs.seeds import Purpose, permutation
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import train_block
from dmtheory.responses.responses import design_of
from dmtheory.responses.store import (
    DIVERGED,
    Block,
    NotWritten,
    ResponseStore,
    StoreError,
    open_store,
    read_store,
)

# Retraining one row outside its block changes batched linear algebra in its last bits.
_RELATIVE = {"float64": 1e-6, "float32": 1e-4, "float16": 2e-3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What checking a store found.

    Attributes:
        n_models: Models that the run was asked for.
        n_blocks: Its blocks.
        missing: Blocks that are not written.
        damaged: Blocks whose content does not match their mark.
        retrained: Rows that were trained again.
        different: Of those, rows whose outputs differ from the stored ones.
        diverged: Models recorded as diverged.
    """

    n_models: int
    n_blocks: int
    missing: tuple[int, ...]
    damaged: tuple[int, ...]
    retrained: tuple[int, ...]
    different: tuple[int, ...]
    diverged: int

    @property
    def sound(self) -> bool:
        """Whether nothing is missing, damaged or different."""
        return not (self.missing or self.damaged or self.different)


def verify(
    store: Any,
    problem: Problem | None = None,
    *,
    n_rows: int = 5,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Recompute every block's digest and train a few rows again.

    A digest finds damage; only retraining finds a row that was altered together with
    its digest.

    Args:
        store: A path, a URL or a zarr store.
        problem: The store's problem; without it nothing is retrained.
        n_rows: Rows to train again, drawn at random from sound blocks.
        seed: Seed of that draw.
        progress: Called with 1 after each block.

    Returns:
        What was found.

    Raises:
        StoreError: If the problem is not the store's.
    """
    opened = read_store(store)
    if problem is not None:
        ours, theirs = problem.description.digest, opened.config["problem_digest"]
        if ours != theirs:
            raise StoreError(
                f"problem must be the store's ({opened.config['problem']}, digest "
                f"{theirs}), got {problem.description.name} with digest {ours}"
            )
    missing: list[int] = []
    damaged: list[int] = []
    sound: list[int] = []
    diverged = 0
    for block, content in opened.contents(range(opened.n_blocks)):
        if isinstance(content, Block):
            diverged += int((content.status == DIVERGED).sum())
            sound += list(opened.rows(block))
        else:
            (missing if isinstance(content, NotWritten) else damaged).append(block)
        if progress is not None:
            progress(1)
    order = permutation(seed, Purpose.SPLIT, 0, torch.arange(len(sound)))
    rows = [sound[i] for i in order[:n_rows].tolist()] if problem is not None else []
    return Verification(
        n_models=opened.n_models,
        n_blocks=opened.n_blocks,
        missing=tuple(missing),
        damaged=tuple(damaged),
        retrained=tuple(rows),
        different=tuple(r for r in rows if not _same(opened, problem, r)),
        diverged=diverged,
    )


def merge(out: Any, stores: Sequence[Any]) -> ResponseStore:
    """Copy the blocks of shards of one run into one store.

    Args:
        out: The store to fill: new, or an earlier merge of the same run.
        stores: Stores of the shards, all of one configuration.

    Returns:
        The filled store; blocks that no shard has stay missing.

    Raises:
        ValueError: If no store is given.
        StoreError: If one of them is missing or of another run.
    """
    if not stores:
        raise ValueError("stores must name at least one store")
    shards = [read_store(store) for store in stores]
    n_models = max(shard.n_models for shard in shards)
    merged = open_store(out, shards[0].config, n_models)
    for place, shard in zip(stores, shards, strict=True):
        if shard.config != merged.config:
            raise StoreError(f"stores must be of one run, but {place} is of another")
        wanted = [b for b in range(shard.n_blocks) if _as_long(shard, merged, b)]
        there = merged.done(wanted)
        for block, content in shard.contents([b for b in wanted if b not in there]):
            if isinstance(content, Block):
                merged.write(block, content)
    return merged


def _as_long(source: ResponseStore, target: ResponseStore, block: int) -> bool:
    # A shorter run's last block is partial where the longer one's is not.
    return len(source.rows(block)) == len(target.rows(block))


def _same(store: ResponseStore, problem: Problem | None, row: int) -> bool:
    assert problem is not None
    trained = train_block(problem, design_of(store), torch.tensor([row]))[0].numpy()
    block = row // store.block_size
    kept = store.read(block).columns[row - store.rows(block).start]
    allowed = _RELATIVE[store.config["dtype"]] * max(1.0, abs(trained).max())
    close = (abs(trained - kept) <= allowed) | (np.isnan(trained) & np.isnan(kept))
    return bool(close.all() or _both_diverged(trained, kept))


def _both_diverged(trained: Any, kept: Any) -> bool:
    return not np.isfinite(trained).all() and not np.isfinite(kept).all()

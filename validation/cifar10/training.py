"""Training for a piece of work, and reading what is there of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dmtheory.designs.base import Design
from dmtheory.designs.describe import resized
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress, collect_into
from dmtheory.responses.responses import Responses
from dmtheory.responses.run import described
from dmtheory.responses.store import DIVERGED, ResponseStore, read_store
from validation.cifar10.sizes import Sizes
from validation.cifar10.works import Work


def train(
    work: Work,
    problem: Problem,
    folder: Path,
    n_models: int,
    sizes: Sizes,
    *,
    engine: Engine,
    progress: Progress | None = None,
) -> None:
    """Train what a piece of work lacks of so many models, block by block."""
    collect_into(
        str(work.place(folder)),
        problem,
        resized(work.design, n_models),
        engine=engine,
        block=work.block(sizes),
        dtype="float16" if work.half else "float64",
        progress=progress,
    )


def n_done(work: Work, folder: Path) -> int:
    """Return how many models are there, from the first on without a gap."""
    place = work.place(folder)
    if not (place / "zarr.json").exists():
        return 0
    store = read_store(str(place))
    marked = store.marked(range(store.n_blocks))
    gap = next((b for b in range(store.n_blocks) if b not in marked), store.n_blocks)
    return min(gap * store.block_size, store.n_models)


def responses_of_work(
    work: Work, folder: Path, n_targets: int | None = None
) -> Responses | None:
    """Return the models that are there, None where there are none.

    Args:
        work: The piece of work.
        folder: The run's folder.
        n_targets: How many targets are read, the first ones; all by default.
    """
    n_models = n_done(work, folder) // work.unit * work.unit
    if n_models == 0:
        return None
    store = read_store(str(work.place(folder)))
    return _first(store, resized(work.design, n_models), n_targets)


def on_device(responses: Responses, device: str) -> Responses:
    """Return the same models, whose regression is then made on a device."""
    return replace(
        responses,
        outputs=responses.outputs.to(device),
        diverged=responses.diverged.to(device),
    )


def _first(store: ResponseStore, design: Design, n_targets: int | None) -> Responses:
    n, described_as = design.n_models, described(dict(store.config))
    blocks = [store.read(b) for b in range(-(-n // store.block_size))]
    columns = torch.from_numpy(
        np.concatenate([block.columns for block in blocks]).astype(np.float64)
    )[:n]
    status = np.concatenate([block.status for block in blocks])[:n]
    kept = described_as.n_targets if n_targets is None else n_targets
    return Responses(
        outputs=columns[:, :kept],
        design=design,
        description=replace(
            described_as, target_labels=described_as.target_labels[:kept]
        ),
        diverged=torch.from_numpy(status == DIVERGED),
        qualities=columns[:, described_as.n_targets :],
    )

"""Commands that look after runs: collect, merge, verify."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from dataclasses import asdict
from typing import Any

import click
import numpy as np

from dmtheory.catalogue import PROBLEMS, ready_problem
from dmtheory.cli import options
from dmtheory.console import progress_bars
from dmtheory.designs import Replicates, SubsetDesign
from dmtheory.designs.base import Design
from dmtheory.designs.describe import parse_design
from dmtheory.engines.base import Engine
from dmtheory.engines.devices import parse_devices
from dmtheory.engines.local import process_pool
from dmtheory.engines.named import ENGINES
from dmtheory.responses.collect import collect_into
from dmtheory.responses.maintain import merge, verify
from dmtheory.responses.plan import plan
from dmtheory.responses.store import DIVERGED, Block, ResponseStore, read_store

# Blocks whose models' qualities a summary averages, at most.
_SUMMARISED = 16


@click.command("collect")
@options.problem
@click.option(
    "--design",
    default="bernoulli:0.5",
    show_default=True,
    help="bernoulli:P, fixed-size:K, leave-k-out:K, pairs, antithetic:P or blocks:N.",
)
@options.models
@click.option(
    "--replicates",
    type=options.COUNT,
    default=1,
    show_default=True,
    help="Seeds a weight vector; two or more tell a score's ceiling.",
)
@click.option("--store", help="Folder or URL of the run.")
@click.option(
    "--block",
    type=options.COUNT,
    default=256,
    show_default=True,
    help="Models a block.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float64", "float32", "float16"]),
    default="float64",
    show_default=True,
    help="Precision of stored outputs.",
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="local",
    show_default=True,
    help="Processes of this machine, or a Ray cluster.",
)
@click.option("--address", help="Address of a Ray cluster; a local one by default.")
@click.option(
    "--processes",
    type=options.COUNT,
    help="Trainings at a time: 1, or one a device, by default; with --engine ray "
    "Ray's workers, by default all that the cluster has places for.",
)
@click.option(
    "--devices",
    default="cpu",
    show_default=True,
    help="cpu, cuda (every GPU) or a list such as cuda:0,cuda:1.",
)
@click.option("--shard", default="0/1", show_default=True, help="I/N of an array job.")
@click.option("--dry-run", is_flag=True, help="Train a small pilot; print the plan.")
@options.normalisation
@options.seed(0)
@options.as_json
def collect_command(
    problem: str,
    design: str,
    models: int,
    replicates: int,
    store: str | None,
    block: int,
    dtype: str,
    engine: str,
    address: str | None,
    processes: int | None,
    devices: str,
    shard: str,
    dry_run: bool,
    normalisation: Any,
    seed: int,
    as_json: bool,
) -> None:
    """Train models on a design and keep their outputs; run again to go on.

    Example: dmtheory collect --problem digits-network --design pairs --models 2000
    --store runs/digits.zarr --processes 2
    """
    made = ready_problem(problem, normalisation)
    law = _law(design, models, replicates, seed)
    if dry_run:
        n_processes = _n_processes(engine, processes, devices)
        expected = plan(made, law, dtype=dtype, n_processes=n_processes)
        options.show_values(asdict(expected), as_json)
        return
    if store is None:
        raise click.UsageError("store must say where the run is kept")
    with (
        _standard_output_aside(),
        progress_bars() as progress,
        _engine(engine, address, processes, devices) as workers,
    ):
        filled = collect_into(
            store,
            made,
            law,
            engine=workers,
            block=block,
            dtype=dtype,
            shard=_shard(shard),
            progress=options.counter(progress, "models", models),
        )
    options.show_values(_summary(store, filled), as_json)


@click.command("merge")
@click.argument("out")
@click.argument("stores", nargs=-1, required=True)
@options.as_json
def merge_command(out: str, stores: tuple[str, ...], as_json: bool) -> None:
    """Copy the blocks of shards STORES of one run into OUT.

    Example: dmtheory merge runs/whole.zarr runs/shard-*.zarr
    """
    options.show_values(_summary(out, merge(out, stores)), as_json)


@click.command("verify")
@click.argument("store")
@click.option("--problem", help="To retrain rows; the store's own if it is ready.")
@click.option(
    "--rows",
    type=options.Count(least=0),
    default=5,
    show_default=True,
    help="Rows to train again.",
)
@options.normalisation
@options.seed(0)
@options.as_json
def verify_command(
    store: str,
    problem: str | None,
    rows: int,
    normalisation: Any,
    seed: int,
    as_json: bool,
) -> int:
    """Recompute a store's digests and train a few rows again; status 1 if unsound.

    Example: dmtheory verify runs/digits.zarr --rows 5
    """
    config = read_store(store).config
    name = problem or config["problem"]
    made = None
    if problem is not None or name in PROBLEMS:
        made = ready_problem(name, config["normalisation"])
    found = verify(store, made, n_rows=rows, seed=seed)
    values = {**asdict(found), "sound": found.sound}
    if made is None:
        values["note"] = "no row was retrained: give --problem FILE.py:NAME"
    options.show_values(values, as_json)
    return 0 if found.sound else 1


def _law(design: str, n_models: int, n_replicates: int, seed: int) -> Design:
    """Return the design that is trained, n_models in all."""
    if n_models % n_replicates:
        raise click.UsageError(
            f"models must be a multiple of the {n_replicates} replicates, got "
            f"{n_models}"
        )
    drawn = parse_design(design, n_models=n_models // n_replicates, seed=seed)
    if n_replicates == 1:
        return drawn
    if not isinstance(drawn, SubsetDesign):
        raise click.UsageError(f"replicates are of random subsets, got {design!r}")
    return Replicates(design=drawn, n_replicates=n_replicates)


def _engine(
    name: str, address: str | None, processes: int | None, devices: str
) -> AbstractContextManager[Engine]:
    if name == "local":
        if address is not None:
            raise click.UsageError("address is a Ray cluster's: say --engine ray")
        return process_pool(processes, devices=parse_devices(devices))
    if devices not in {"cpu", "cuda"}:
        raise click.UsageError(
            f"devices must be cpu or cuda with --engine ray, got {devices!r}: Ray "
            "assigns a GPU to each task"
        )
    from dmtheory.engines.ray_cluster import ray_cluster

    return ray_cluster(address, processes=processes, num_gpus=float(devices == "cuda"))


def _n_processes(engine: str, processes: int | None, devices: str) -> int:
    """Return how many processes will train; of a cluster that is not known, one."""
    if processes is not None:
        return processes
    return len(parse_devices(devices)) if engine == "local" else 1


@contextmanager
def _standard_output_aside() -> Iterator[None]:
    """Send to standard error what libraries print; results alone go to the output.

    Ray reports dead workers on standard output, from threads and compiled code of its
    own, which know the file descriptor and not `sys.stdout`.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    try:
        return int(index), int(count)
    except ValueError:
        raise click.UsageError(f"shard must look like 3/64, got {text!r}") from None


def _summary(location: str, store: ResponseStore) -> dict[str, Any]:
    status = store.statuses()
    missing = status[:: store.block_size] == 0
    return {
        "store": location,
        "models": store.n_models,
        "trained": int((status != 0).sum()),
        "diverged": int((status == DIVERGED).sum()),
        "blocks": store.n_blocks,
        "missing blocks": int(missing.sum()),
        **_mean_qualities(store, np.flatnonzero(~missing)),
    }


def _mean_qualities(store: ResponseStore, written: np.ndarray) -> dict[str, float]:
    """Return the mean of each quality over a few written blocks, the first and last."""
    names = store.config["qualities"]
    if not names or not len(written):
        return {}
    some = np.unique(np.linspace(0, len(written) - 1, _SUMMARISED).astype(int))
    found = [
        content.qualities[content.status != DIVERGED]
        for _, content in store.contents(written[some].tolist())
        if isinstance(content, Block)
    ]
    values = np.concatenate(found).astype(np.float64)
    return {} if not len(values) else dict(zip(names, values.mean(0), strict=True))

"""Commands that look after runs: collect, merge, verify."""

from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

import click

from dmtheory.catalogue import PROBLEMS, ready_problem
from dmtheory.cli import options
from dmtheory.console import progress_bars
from dmtheory.designs.describe import parse_design
from dmtheory.engines.base import Engine
from dmtheory.engines.local import process_pool
from dmtheory.responses.collect import collect_into
from dmtheory.responses.maintain import merge, verify
from dmtheory.responses.plan import plan
from dmtheory.responses.store import DIVERGED, ResponseStore, read_store


@click.command("collect")
@options.problem
@click.option(
    "--design",
    default="bernoulli:0.5",
    show_default=True,
    help="bernoulli:P, fixed-size:K, leave-k-out:K, pairs, antithetic:P or blocks:N.",
)
@click.option("--models", default=2000, show_default=True, help="Models to train.")
@click.option("--store", help="Folder or URL of the run.")
@click.option("--block", default=256, show_default=True, help="Models a block.")
@click.option(
    "--dtype",
    type=click.Choice(["float64", "float32", "float16"]),
    default="float64",
    show_default=True,
    help="Precision of stored outputs.",
)
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local")
@click.option("--address", help="Address of a Ray cluster; a local one by default.")
@click.option("--processes", default=1, show_default=True, help="Local processes.")
@click.option("--shard", default="0/1", show_default=True, help="I/N of an array job.")
@click.option("--dry-run", is_flag=True, help="Train a small pilot; print the plan.")
@options.normalisation
@options.seed(0)
@options.as_json
def collect_command(
    problem: str,
    design: str,
    models: int,
    store: str | None,
    block: int,
    dtype: str,
    engine: str,
    address: str | None,
    processes: int,
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
    law = parse_design(design, n_models=models, seed=seed)
    if dry_run:
        expected = plan(made, law, dtype=dtype, n_processes=processes)
        options.show_values(asdict(expected), as_json)
        return
    if store is None:
        raise click.UsageError("store must say where the run is kept")
    with (
        progress_bars() as progress,
        _engine(engine, address, processes) as workers,
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
@click.option("--rows", default=5, show_default=True, help="Rows to train again.")
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


def _engine(
    name: str, address: str | None, processes: int
) -> AbstractContextManager[Engine]:
    if name == "local":
        return process_pool(processes)
    from dmtheory.engines.ray_cluster import ray_cluster

    return ray_cluster(address)


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    try:
        return int(index), int(count)
    except ValueError:
        raise click.UsageError(f"shard must look like 3/64, got {text!r}") from None


def _summary(location: str, store: ResponseStore) -> dict[str, Any]:
    marked = [block for block in range(store.n_blocks) if store.is_marked(block)]
    status = [store.read(block).status for block in marked]
    return {
        "store": location,
        "models": store.n_models,
        "trained": sum(len(rows) for rows in status),
        "diverged": sum(int((rows == DIVERGED).sum()) for rows in status),
        "blocks": store.n_blocks,
        "missing blocks": store.n_blocks - len(marked),
    }

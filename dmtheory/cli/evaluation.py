"""Commands that judge attributions on models they have not seen: lds."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import Row, lds_table
from dmtheory.agreement.subset_outputs import (
    SubsetOutputs,
    evaluation_of,
    evaluation_of_arrays,
)
from dmtheory.attribution import Attribution
from dmtheory.cli import options
from dmtheory.designs.base import SubsetDesign
from dmtheory.designs.describe import parse_design
from dmtheory.files import load_attribution, load_matrix
from dmtheory.responses.responses import load_responses


@click.command("lds")
@click.option(
    "--scores", type=options.FILE, required=True, help="Attribution files (.npz)."
)
@click.argument("more", nargs=-1, type=options.FILE, metavar="[MORE.npz]...")
@click.option("--store", help="A run on random subsets, by another seed.")
@click.option("--masks", type=options.FILE, help="0/1 masks, models x train (.npy).")
@click.option("--outputs", type=options.FILE, help="Outputs, models x targets (.npy).")
@click.option("--design", help="Law of the masks, if rows come in pairs or blocks.")
@click.option(
    "--replicates",
    type=options.COUNT,
    default=1,
    show_default=True,
    help="Consecutive rows of the arrays that are seeds of one mask.",
)
@click.option(
    "--draws",
    type=options.COUNT,
    default=1000,
    show_default=True,
    help="Bootstrap draws.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the resampling.")
@options.as_json
def lds_command(
    scores: Path,
    more: tuple[Path, ...],
    store: str | None,
    masks: Path | None,
    outputs: Path | None,
    design: str | None,
    replicates: int,
    draws: int,
    seed: int,
    as_json: bool,
) -> None:
    """Judge attributions by how they rank held-out subsets, all on one table.

    Example: dmtheory lds --scores influence.npz datamodel.npz --masks masks.npy
    --outputs outputs.npy
    """
    if (store is None) == (masks is None) or (masks is None) != (outputs is None):
        raise click.UsageError("give either --store, or --masks with --outputs")
    if store is not None and (design is not None or replicates != 1):
        raise click.UsageError("--design and --replicates are for arrays only")
    names = [str(path) for path in (scores, *more)]
    attributions = [load_attribution(path) for path in (scores, *more)]
    held_out = (
        evaluation_of(load_responses(store))
        if store is not None
        else _arrays(masks, outputs, attributions[0], design, replicates)
    )
    pairs = list(zip(names, attributions, strict=True))
    found = lds_table(pairs, held_out, draws=draws, seed=seed)
    if as_json:
        values = {
            "reference": found.reference,
            **_evaluation(held_out, draws),
            "rows": [_plain(row) for row in found.rows],
        }
        click.echo(json.dumps(values, indent=1))
        return
    _show(found.rows, held_out)


def _arrays(
    masks: Path | None,
    outputs: Path | None,
    like: Attribution,
    design: str | None,
    replicates: int,
) -> SubsetOutputs:
    assert masks is not None and outputs is not None
    x, y = load_matrix(masks), load_matrix(outputs)
    law = None
    if design is not None:
        made = parse_design(design, n_models=len(x) // max(replicates, 1), seed=0)
        if not isinstance(made, SubsetDesign):
            raise click.UsageError(f"design must be of random subsets, got {design!r}")
        law = made
    return evaluation_of_arrays(x, y, like=like, design=law, n_replicates=replicates)


def _evaluation(held_out: SubsetOutputs, draws: int) -> dict[str, Any]:
    return {
        "subsets": len(held_out.outputs),
        "seeds": held_out.n_seeds,
        "models": held_out.n_models,
        "diverged": held_out.n_diverged,
        "draws": draws,
    }


def _plain(row: Row) -> dict[str, Any]:
    targets = row.lds.per_target
    limits = zip(targets.value, targets.low, targets.high, strict=True)
    return {
        "name": row.name,
        "lds": asdict(row.lds.mean),
        "difference": asdict(row.difference),
        "ceiling": None if row.lds.ceiling is None else asdict(row.lds.ceiling),
        "constant": row.lds.n_constant,
        "estimand": row.lds.estimand.to_json(),
        "targets": {
            label: asdict(Interval(*(float(x) for x in numbers)))
            for label, numbers in zip(row.lds.target_labels, limits, strict=True)
        },
    }


def _show(rows: tuple[Row, ...], held_out: SubsetOutputs) -> None:
    click.echo(
        f"{len(held_out.outputs)} held-out subsets, {held_out.n_seeds} seed(s) each, "
        f"{len(held_out.target_labels)} targets, {held_out.n_diverged} diverged models"
    )
    table = Table("scores", "LDS", "95 % interval", "minus the first", "95 % interval")
    for row in rows:
        table.add_row(row.name, *_columns(row.lds.mean), *_columns(row.difference))
    Console().print(table)
    ceiling = rows[0].lds.ceiling
    if ceiling is None:
        click.echo("ceiling unknown: it takes several seeds a subset")
    else:
        value, limits = _columns(ceiling)
        click.echo(f"ceiling set by seeds: {value} ({limits})")
    for row in rows:
        if row.lds.n_constant:
            click.echo(
                f"{row.name} predicts one number at {row.lds.n_constant} targets, "
                "which count as 0"
            )


def _columns(number: Interval) -> tuple[str, str]:
    return f"{number.value:.4f}", f"{number.low:.4f} to {number.high:.4f}"

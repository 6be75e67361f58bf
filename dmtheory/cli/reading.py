"""Commands that read: problems, agree, show."""

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from dmtheory.agreement.agreement import agreement
from dmtheory.attribution import Entry
from dmtheory.catalogue import PROBLEMS
from dmtheory.cli import options
from dmtheory.files import load_attribution


@click.command()
@options.as_json
def problems(as_json: bool) -> None:
    """List the ready problems.

    Example: dmtheory problems
    """
    described = {name: make.__doc__ or "" for name, make in PROBLEMS.items()}
    if as_json:
        click.echo(json.dumps(described, indent=1))
        return
    for name, text in described.items():
        click.echo(f"{name:24} {text}")


@click.command()
@click.argument("a", type=options.FILE)
@click.argument("b", type=options.FILE)
@options.as_json
def agree(a: Path, b: Path, as_json: bool) -> None:
    """Compare two attribution files: the slope of A on B, correlations, errors.

    Only the examples that both have are compared.

    Example: dmtheory agree datamodel.npz derivative.npz
    """
    first, second = load_attribution(a), load_attribution(b)
    kept = set(second.train_labels)
    common = [label for label in first.train_labels if label in kept]
    if not common:
        raise ValueError("a and b must share train labels, got none in common")
    found = agreement(first.restricted(common), second.restricted(common))
    intervals = found.intervals()
    if as_json:
        values = {name: asdict(value) for name, value in intervals.items()}
        values["expected_slope"] = found.expected_slope  # type: ignore[assignment]
        click.echo(json.dumps(values, indent=1))
        return
    click.echo(f"a: {found.a}\nb: {found.b}")
    click.echo(f"{found.n_examples} examples, {found.n_targets} targets")
    table = Table("statistic", "value", "95 % interval")
    for name, value in intervals.items():
        limits = f"{value.low:.4f} to {value.high:.4f}"
        table.add_row(name.replace("_", " "), f"{value.value:.4f}", limits)
    Console().print(table)
    if found.expected_slope is not None:
        click.echo(f"slope that theory predicts: {found.expected_slope:g}")


@click.command()
@click.argument("file", type=options.FILE)
@click.option("--target", default="0", show_default=True, help="Label or number.")
@click.option(
    "--top",
    type=options.COUNT,
    default=10,
    show_default=True,
    help="Examples of each kind.",
)
@options.as_json
def show(file: Path, target: str, top: int, as_json: bool) -> None:
    """Print the most helpful and most harmful examples for a target.

    Example: dmtheory show datamodel.npz --target 3 --top 5
    """
    attribution = load_attribution(file)
    ranking = attribution.top(int(target) if target.isdigit() else target, top)
    if as_json:
        click.echo(json.dumps(asdict(ranking), indent=1))
        return
    click.echo(f"{ranking.target}: {attribution.estimand}")
    for title, entries in (("helpful", ranking.helpful), ("harmful", ranking.harmful)):
        table = Table(f"most {title}", "score", "95 % interval")
        for entry in entries:
            table.add_row(entry.label, f"{entry.score:.5f}", _limits(entry))
        Console().print(table)


def _limits(entry: Entry) -> str:
    if entry.limits is None:
        return "unknown"
    low, high = entry.limits
    return f"{low:.5f} to {high:.5f}"

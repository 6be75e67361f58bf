"""The command line `dmtheory`: estimates to files, files to comparisons."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click
import torch
from rich.console import Console
from rich.table import Table

from dmtheory.agreement.agreement import agreement
from dmtheory.attribution import Attribution, Entry
from dmtheory.catalogue import PROBLEMS, ready_problem
from dmtheory.console import progress_bars, run_command
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.derivatives.finite_difference import FiniteDifference
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.perturbations import random_coordinates
from dmtheory.files import load_attribution, load_matrix, save_attribution
from dmtheory.influence.classical import influence
from dmtheory.influence.curvature import Curvature, ExactHessian, GaussNewton
from dmtheory.responses.collect import collect

_CURVATURES: dict[str, Curvature] = {"hessian": ExactHessian(), "ggn": GaussNewton()}
_NORMAL_95 = 1.959964

_file = click.Path(path_type=Path, dir_okay=False)
_problem = click.option(
    "--problem", required=True, help=f"One of {', '.join(PROBLEMS)}."
)
_normalisation = click.option(
    "--normalisation",
    type=click.Choice(["sum", "count"]),
    default="sum",
    show_default=True,
    help="W in (1/W) sum_j w_j l_j: the weights' sum, or N.",
)
_seed = click.option("--seed", default=0, show_default=True, help="Experiment seed.")
_out = click.option("--out", type=_file, required=True, help="File to write (.npz).")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(no_args_is_help=True)
@click.version_option(package_name="dmtheory")
def cli() -> None:
    """Datamodels, response derivatives and influence for one training procedure."""


@cli.command()
@_json
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


@cli.command()
@click.option("--problem", help=f"One of {', '.join(PROBLEMS)}; or give arrays.")
@click.option("--masks", type=_file, help="0/1 masks, models x train (.npy).")
@click.option("--outputs", type=_file, help="Outputs, models x targets (.npy).")
@click.option("--design", default="bernoulli:0.5", show_default=True, help="Law.")
@click.option("--models", default=2000, show_default=True, help="Models to train.")
@click.option("--estimator", type=click.Choice(["ols"]), default="ols")
@_normalisation
@_seed
@_out
@_json
def fit(
    problem: str | None,
    masks: Path | None,
    outputs: Path | None,
    design: str,
    models: int,
    estimator: str,
    normalisation: Any,
    seed: int,
    out: Path,
    as_json: bool,
) -> None:
    """Fit a datamodel to arrays, or to a ready problem's models trained here.

    Example: dmtheory fit --masks m.npy --outputs y.npy --design bernoulli:0.5 --out
    datamodel.npz
    """
    law = Bernoulli(p=_share(design), n_models=models, seed=seed)
    if problem is not None and masks is None and outputs is None:
        with progress_bars() as progress:
            responses = collect(
                ready_problem(problem, normalisation),
                law,
                progress=_counter(progress, "models", models),
            )
        _save(fit_datamodel(responses), out, as_json)
    elif problem is None and masks is not None and outputs is not None:
        arrays = load_matrix(masks), load_matrix(outputs)
        _save(fit_datamodel(*arrays, design=law), out, as_json)
    else:
        raise click.UsageError("give either --problem, or both --masks and --outputs")


@cli.command()
@_problem
@click.option("--at", default=1.0, show_default=True, help="Point w = AT·1.")
@click.option("--step", default=0.05, show_default=True, help="Difference step.")
@click.option("--seeds", default=20, show_default=True, help="Training seeds.")
@click.option("--coordinates", type=int, help="Examples, drawn at random; else all.")
@_normalisation
@_seed
@_out
@_json
def derive(
    problem: str,
    at: float,
    step: float,
    seeds: int,
    coordinates: int | None,
    normalisation: Any,
    seed: int,
    out: Path,
    as_json: bool,
) -> None:
    """Estimate dF/dw by finite differences over seeds.

    Example: dmtheory derive --problem diabetes-ridge --at 0.5 --out derivative.npz
    """
    made = ready_problem(problem, normalisation)
    n_train = made.description.n_train
    chosen = None
    if coordinates is not None:
        chosen = random_coordinates(n_train, coordinates, seed=seed)
    total = (
        2 * (coordinates or n_train) * (1 if made.description.deterministic else seeds)
    )
    with progress_bars() as progress:
        found = response_derivative(
            made,
            FiniteDifference(step=step, n_seeds=seeds),
            at=at,
            coordinates=chosen,
            seed=seed,
            progress=_counter(progress, "models", total),
        )
    _save(found, out, as_json)


@cli.command("influence")
@_problem
@click.option("--curvature", type=click.Choice(list(_CURVATURES)), default="hessian")
@click.option("--damping", default=0.0, show_default=True, help="In units of J.")
@click.option("--at", default=1.0, show_default=True, help="Point w = AT·1.")
@click.option("--seeds", default=1, show_default=True, help="Models to average.")
@_normalisation
@_seed
@_out
@_json
def influence_command(
    problem: str,
    curvature: str,
    damping: float,
    at: float,
    seeds: int,
    normalisation: Any,
    seed: int,
    out: Path,
    as_json: bool,
) -> None:
    """Compute classical influence at trained models.

    Example: dmtheory influence --problem digits-network --curvature ggn --damping 0.03
    --at 0.5 --seeds 8 --out influence.npz
    """
    found = influence(
        ready_problem(problem, normalisation),
        curvature=_CURVATURES[curvature],
        damping=damping,
        at=at,
        n_seeds=seeds,
        seed=seed,
    )
    _save(found, out, as_json)


@cli.command()
@click.argument("a", type=_file)
@click.argument("b", type=_file)
@_json
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


@cli.command()
@click.argument("file", type=_file)
@click.option("--target", default="0", show_default=True, help="Label or number.")
@click.option("--top", default=10, show_default=True, help="Examples of each kind.")
@_json
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


def main() -> NoReturn:
    """Run the command line."""
    torch.set_num_threads(1)
    run_command(cli, "dmtheory")


def _share(design: str) -> float:
    law, _, share = design.partition(":")
    try:
        if law == "bernoulli":
            return float(share)
    except ValueError:
        pass
    raise click.UsageError(f"design must look like bernoulli:0.5, got {design!r}")


def _counter(progress: Any, what: str, total: int) -> Any:
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        progress(what, done, total)

    return count


def _save(attribution: Attribution, out: Path, as_json: bool) -> None:
    save_attribution(attribution, out)
    summary = {
        "file": str(out),
        "estimand": str(attribution.estimand),
        "examples": len(attribution.train_labels),
        "targets": len(attribution.target_labels),
        "models": attribution.n_models,
        "method": attribution.method,
    }
    if as_json:
        click.echo(json.dumps(summary, indent=1))
    else:
        click.echo("\n".join(f"{name}: {value}" for name, value in summary.items()))


def _limits(entry: Entry) -> str:
    if entry.stderr is None:
        return "unknown"
    margin = _NORMAL_95 * entry.stderr
    return f"{entry.score - margin:.5f} to {entry.score + margin:.5f}"

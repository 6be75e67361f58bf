"""The command `dmtheory fit`."""

from pathlib import Path
from typing import Any

import click

from dmtheory.catalogue import PROBLEMS, ready_problem
from dmtheory.cli import options
from dmtheory.console import progress_bars
from dmtheory.datamodels.estimators.difference import DifferenceOfMeans
from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.datamodels.estimators.ols import OLS
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.estimators.standard_errors import ERRORS
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.datamodels.lasso.lasso import Lasso
from dmtheory.designs.base import SubsetDesign
from dmtheory.designs.describe import parse_design
from dmtheory.engines.devices import parse_devices
from dmtheory.files import load_attribution, load_matrix
from dmtheory.responses.collect import collect
from dmtheory.responses.store import read_store


@click.command()
@click.option("--problem", help=f"{', '.join(PROBLEMS)}, or FILE.py:NAME.")
@click.option("--store", help="A run that `dmtheory collect` filled.")
@click.option("--masks", type=options.FILE, help="0/1 masks, models x train (.npy).")
@click.option("--outputs", type=options.FILE, help="Outputs, models x targets (.npy).")
@click.option(
    "--design",
    help="Law of the masks, needed with --masks: bernoulli:P, fixed-size:K, "
    "leave-k-out:K, pairs, antithetic:P or blocks:N; with --problem bernoulli:0.5 by "
    "default.",
)
@options.models
@click.option(
    "--estimator",
    type=click.Choice(["difference", "ols", "ridge", "lasso"]),
    help="ols by default, ridge with --prior.",
)
@click.option(
    "--errors",
    type=click.Choice(ERRORS),
    default="homoscedastic",
    show_default=True,
    help="Standard errors of ols and ridge.",
)
@click.option("--penalties", help="Candidates for ridge or lasso, such as 0.1,0.01.")
@click.option("--prior", type=options.FILE, help="Scores to shrink toward (.npz).")
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    help="Where a store is regressed: cpu, cuda or cuda:1.",
)
@options.normalisation
@options.seed(0)
@options.out
@options.as_json
def fit(
    problem: str | None,
    store: str | None,
    masks: Path | None,
    outputs: Path | None,
    design: str | None,
    models: int,
    estimator: str | None,
    errors: str,
    penalties: str | None,
    prior: Path | None,
    device: str,
    normalisation: Any,
    seed: int,
    out: Path,
    as_json: bool,
) -> None:
    """Fit a datamodel to a store, to arrays, or to models trained here.

    Penalties are lambda in (mean squared error) + lambda |beta|^2 or lambda |beta|_1,
    chosen for each target on models that are held out.

    Example: dmtheory fit --masks m.npy --outputs y.npy --design bernoulli:0.5
    --estimator ridge --out datamodel.npz
    """
    if [store, problem, masks].count(None) != 2 or (masks is None) != (outputs is None):
        raise click.UsageError(
            "give one of --store, --problem, or --masks with --outputs"
        )
    if device != "cpu" and store is None:
        raise click.UsageError("device is for --store: give --store")
    chosen: dict[str, Any] = {
        "estimator": _estimator(estimator, errors, penalties, prior is not None),
        "prior": None if prior is None else load_attribution(prior),
    }
    if store is not None:
        fitted = fit_datamodel(read_store(store), device=_one_of(device), **chosen)
        options.save(fitted, out, as_json)
        return
    if problem is not None:
        law = parse_design(design or "bernoulli:0.5", n_models=models, seed=seed)
        with progress_bars() as progress:
            responses = collect(
                ready_problem(problem, normalisation),
                law,
                progress=options.counter(progress, "models", models),
            )
        options.save(fit_datamodel(responses, **chosen), out, as_json)
        return
    assert masks is not None and outputs is not None
    if design is None:
        raise click.UsageError(
            "design must say how the masks were drawn, such as --design bernoulli:0.5"
        )
    arrays = load_matrix(masks), load_matrix(outputs)
    law = parse_design(design, n_models=len(arrays[0]), seed=seed)
    assert isinstance(law, SubsetDesign)
    options.save(fit_datamodel(*arrays, design=law, **chosen), out, as_json)


def _estimator(
    name: str | None, errors: str, penalties: str | None, has_prior: bool
) -> DatamodelEstimator:
    """Return the estimator that options name.

    Raises:
        click.UsageError: If options do not go together.
    """
    name = name or ("ridge" if has_prior else "ols")
    if has_prior and name != "ridge":
        raise click.UsageError(f"prior needs --estimator ridge, got {name}")
    if penalties is not None and name not in {"ridge", "lasso"}:
        raise click.UsageError(f"penalties need ridge or lasso, got {name}")
    if errors != "homoscedastic" and (has_prior or name not in {"ols", "ridge"}):
        raise click.UsageError("robust errors need ols, or ridge without a prior")
    values = None if penalties is None else _numbers(penalties)
    if name == "lasso":
        return Lasso(l1_penalties=values)
    if name == "ridge":
        return Ridge(l2_penalties=values, errors=errors)
    return DifferenceOfMeans() if name == "difference" else OLS(errors=errors)


def _one_of(name: str) -> str:
    """Return the device of this name, of "cuda" the first."""
    found = parse_devices(name)
    if len(found) > 1 and name != "cuda":
        raise click.UsageError(f"device must be one, got {name!r}")
    return found[0]


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(
            f"penalties must look like 0.1,0.01, got {text!r}"
        ) from None

"""The command `dmtheory derive`."""

from pathlib import Path
from typing import Any

import click

from dmtheory.catalogue import ready_problem
from dmtheory.cli import options
from dmtheory.console import progress_bars
from dmtheory.derivatives.finite_difference import FiniteDifference
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.designs.perturbations import random_coordinates


@click.command()
@options.problem
@click.option("--at", default=1.0, show_default=True, help="Point w = AT·1.")
@click.option("--step", default=0.05, show_default=True, help="Difference step.")
@click.option("--seeds", default=20, show_default=True, help="Training seeds.")
@click.option("--coordinates", type=int, help="Examples, drawn at random; else all.")
@options.normalisation
@options.seed(1)
@options.out
@options.as_json
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
            progress=options.counter(progress, "models", total),
        )
    options.save(found, out, as_json)

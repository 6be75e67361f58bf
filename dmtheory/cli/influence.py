"""The command `dmtheory influence`."""

from pathlib import Path
from typing import Any

import click

from dmtheory.catalogue import ready_problem
from dmtheory.cli import options
from dmtheory.influence.classical import influence
from dmtheory.influence.curvature import Curvature, ExactHessian, GaussNewton
from dmtheory.problems.base import DifferentiableProblem

_CURVATURES: dict[str, Curvature] = {"hessian": ExactHessian(), "ggn": GaussNewton()}


@click.command("influence")
@options.problem
@click.option("--curvature", type=click.Choice(list(_CURVATURES)), default="hessian")
@click.option("--damping", default=0.0, show_default=True, help="In units of J.")
@click.option("--at", default=1.0, show_default=True, help="Point w = AT·1.")
@click.option("--seeds", default=1, show_default=True, help="Models to average.")
@options.normalisation
@options.seed(2)
@options.out
@options.as_json
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
    made = ready_problem(problem, normalisation)
    if not isinstance(made, DifferentiableProblem):
        raise click.UsageError(
            f"problem must be differentiable for influence, but {problem} lacks "
            "`fit`, `predictions` and their like"
        )
    found = influence(
        made,
        curvature=_CURVATURES[curvature],
        damping=damping,
        at=at,
        n_seeds=seeds,
        seed=seed,
    )
    options.save(found, out, as_json)

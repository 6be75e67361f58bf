"""The command `dmtheory influence`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dmtheory.catalogue import ready_problem
from dmtheory.cli import options
from dmtheory.console import progress_bars
from dmtheory.derivatives.method import At
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.perturbations import random_coordinates
from dmtheory.influence.classical import influence
from dmtheory.influence.curvature import (
    EKFAC,
    KFAC,
    Curvature,
    EmpiricalFisher,
    ExactHessian,
    Fisher,
    GaussNewton,
)
from dmtheory.influence.solvers import (
    ConjugateGradients,
    Dense,
    Lanczos,
    Lissa,
    Nystroem,
    Solver,
    Woodbury,
)
from dmtheory.problems.base import DifferentiableProblem

_CURVATURES: dict[str, Curvature] = {
    "hessian": ExactHessian(),
    "ggn": GaussNewton(),
    "fisher": Fisher(),
    "empirical-fisher": EmpiricalFisher(),
    "kfac": KFAC(),
    "ekfac": EKFAC(),
}
_RANK = 100


def _conjugate_gradients(rank: int | None = None, **stated: Any) -> Solver:
    by = None if rank is None else Nystroem(rank=rank)
    return ConjugateGradients(preconditioner=by, **stated)


# What each solver is made by, and which options it has.
_SOLVERS: dict[str, tuple[Callable[..., Solver | None], tuple[str, ...]]] = {
    "auto": (lambda: None, ()),
    "dense": (Dense, ()),
    "woodbury": (Woodbury, ()),
    "cg": (_conjugate_gradients, ("tolerance", "rank")),
    "lissa": (Lissa, ("depth",)),
    "lanczos": (lambda rank=_RANK: Lanczos(rank=rank), ("rank",)),
    "nystroem": (lambda rank=_RANK: Nystroem(rank=rank), ("rank",)),
}
_MIB = 2**20


@click.command("influence")
@options.problem
@click.option(
    "--curvature",
    type=click.Choice(list(_CURVATURES)),
    default="hessian",
    show_default=True,
)
@click.option(
    "--solver", type=click.Choice(list(_SOLVERS)), default="auto", show_default=True
)
@click.option("--tolerance", type=float, help="Of cg: largest residual; 1e-8.")
@click.option(
    "--rank",
    type=options.COUNT,
    help=f"Of lanczos and nystroem, {_RANK}; of cg's preconditioner, none.",
)
@click.option("--depth", type=options.COUNT, help="Of lissa: steps; 1000.")
@click.option("--damping", default=0.0, show_default=True, help="In units of J.")
@click.option(
    "--at",
    default="1",
    show_default=True,
    help="The point w = AT·1; FILE.npy, one weight an example; or bernoulli:P, an "
    "average over subsets.",
)
@click.option(
    "--seeds",
    type=options.COUNT,
    default=1,
    show_default=True,
    help="Models to average.",
)
@click.option(
    "--coordinates", type=options.COUNT, help="Examples, drawn at random; else all."
)
@click.option(
    "--memory",
    type=options.COUNT,
    default=1024,
    show_default=True,
    help="MiB that a chunk may take.",
)
@click.option("--store", help="Keep finished blocks here, to resume: a path or URL.")
@options.normalisation
@options.seed(2)
@options.out
@options.as_json
def influence_command(
    problem: str,
    curvature: str,
    solver: str,
    damping: float,
    at: str,
    seeds: int,
    coordinates: int | None,
    memory: int,
    store: str | None,
    normalisation: Any,
    seed: int,
    out: Path,
    as_json: bool,
    **own: Any,
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
    description = made.description
    chosen = None
    if coordinates is not None:
        chosen = random_coordinates(description.n_train, coordinates, seed=seed)
    point = _with_models(options.point(at), seeds)
    drawn = isinstance(point, Bernoulli) or not description.deterministic
    total = (seeds if drawn else 1) * (1 if store is None else description.n_targets)
    with progress_bars() as progress:
        found = influence(
            made,
            curvature=_CURVATURES[curvature],
            solver=_solver(solver, own),
            damping=damping,
            at=point,
            n_seeds=seeds,
            seed=seed,
            coordinates=chosen,
            store=store,
            memory=memory * _MIB,
            progress=options.counter(
                progress, "models" if store is None else "targets of models", total
            ),
        )
    options.save(found, out, as_json)


def _solver(name: str, own: dict[str, Any]) -> Solver | None:
    """Return the solver; click.UsageError where an option belongs to another."""
    make, known = _SOLVERS[name]
    said = {option: value for option, value in own.items() if value is not None}
    for option in said:
        if option not in known:
            others = [other for other, (_, has) in _SOLVERS.items() if option in has]
            raise click.UsageError(
                f"{option} needs --solver {' or '.join(others)}, got {name}"
            )
    return make(**said)


def _with_models(point: At, n_models: int) -> At:
    return replace(point, n_models=n_models) if isinstance(point, Bernoulli) else point

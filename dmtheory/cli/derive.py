"""The command `dmtheory derive`."""

from pathlib import Path
from typing import Any

import click
import numpy as np

from dmtheory.attribution import Attribution
from dmtheory.catalogue import ready_problem
from dmtheory.cli import options
from dmtheory.cli.derivative_methods import (
    ESTIMATORS,
    METHODS,
    MODES,
    RULES,
    SUBSET_RULES,
    WAYS,
    Asked,
    Plan,
)
from dmtheory.console import progress_bars
from dmtheory.derivatives.differences.finite_difference import (
    FiniteDifference,
    finite_differences,
)
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.responses.collect import Progress


@click.command()
@options.problem
@click.option(
    "--method",
    type=click.Choice(list(METHODS)),
    default="finite-difference",
    show_default=True,
    help="How to differentiate.",
)
@click.option(
    "--at",
    default="1",
    show_default=True,
    help="The point w = AT·1; FILE.npy, one weight an example; or bernoulli:P, an "
    "average over subsets.",
)
@click.option(
    "--coordinates",
    type=options.COUNT,
    help="Examples or groups, drawn at random; else all.",
)
@click.option("--step", type=float, help="Difference step; 0.05 by default.")
@click.option("--steps", help="A ladder of steps, such as 0.2,0.1,0.05.")
@click.option(
    "--rule",
    type=click.Choice([*RULES, *SUBSET_RULES]),
    help="Of differences, central; the last two of averaged, trapezoid.",
)
@click.option(
    "--seeds",
    type=options.COUNT,
    help="Training seeds, at bernoulli:P units of subsets; 20, of pathwise 10.",
)
@click.option(
    "--groups", type=options.COUNT, help="Move this many random groups of examples."
)
@click.option(
    "--pairs", type=options.COUNT, help="Pairs of directions; twice the examples."
)
@click.option(
    "--law",
    type=click.Choice(["rademacher", "gaussian", "sparse"]),
    help="Of directions; rademacher.",
)
@click.option("--density", type=float, help="Share of a sparse direction; 0.1.")
@click.option(
    "--estimator",
    type=click.Choice(list(ESTIMATORS)),
    help="Of the regression on directions; ols.",
)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    help="Of pathwise: by targets or by examples; the fewer of them.",
)
@click.option("--memory", type=options.COUNT, help="MiB that pathwise may take; 128.")
@click.option(
    "--by",
    type=click.Choice(WAYS),
    help="What is averaged over models of subsets; pathwise.",
)
@click.option(
    "--damping",
    type=float,
    help="Of --by influence, added to the Gauss-Newton curvature; 0.",
)
@options.normalisation
@options.seed(1)
@options.out
@options.as_json
def derive(
    problem: str,
    method: str,
    at: str,
    coordinates: int | None,
    steps: str | None,
    normalisation: Any,
    seed: int,
    out: Path,
    as_json: bool,
    **own: Any,
) -> None:
    """Estimate dF/dw by retraining, or by differentiating what was trained.

    Any problem has finite differences and random directions; pathwise needs training
    step by step, implicit a convex problem; averaged is either, or influence, over
    models of random subsets.

    Example: dmtheory derive --problem diabetes-ridge --at 0.5 --out derivative.npz
    """
    said = {name: value for name, value in own.items() if value is not None}
    if steps is not None:
        said["steps"] = _numbers(steps)
    _check(method, said)
    made = ready_problem(problem, normalisation)
    asked = Asked(
        problem=made, at=options.point(at), n_drawn=coordinates, seed=seed, said=said
    )
    plan = METHODS[method].plan(asked)
    with progress_bars() as progress:
        found, more = _derivative(
            asked, plan, options.counter(progress, "models", plan.n_models)
        )
    options.save(found, out, as_json, **more)


def _derivative(
    asked: Asked, plan: Plan, progress: Progress
) -> tuple[Attribution, dict[str, Any]]:
    """Return the derivative, and what else there is to say of it."""
    arguments: dict[str, Any] = {
        "at": asked.at,
        "coordinates": plan.coordinates,
        "seed": asked.seed,
        "progress": progress,
    }
    more: dict[str, Any] = {}
    if isinstance(plan.method, FiniteDifference):
        differences = finite_differences(asked.problem, plan.method, **arguments)
        found = differences.attribution
        if differences.choice is not None:
            more["ladder"] = [
                {
                    "step": rung.step,
                    "bias": rung.bias,
                    "noise": rung.noise,
                    "total": rung.total,
                }
                for rung in differences.choice.rungs
            ]
    else:
        found = response_derivative(asked.problem, plan.method, **arguments)
    if found.stderr is not None:
        more["median standard error"] = float(np.median(found.stderr.numpy()))
    return found, more


def _check(method: str, said: dict[str, Any]) -> None:
    """Raise click.UsageError where an option belongs to another method."""
    for name in said:
        if name not in METHODS[method].options:
            others = [
                other for other, route in METHODS.items() if name in route.options
            ]
            raise click.UsageError(
                f"{name} needs --method {' or '.join(others)}, got {method}"
            )
    if {"step", "steps"} <= said.keys():
        raise click.UsageError("give one of --step and --steps")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(
            f"steps must look like 0.2,0.1,0.05, got {text!r}"
        ) from None

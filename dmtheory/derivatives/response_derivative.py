"""The response derivative g_i(w) = dF/dw_i, with standard errors over seeds."""

from collections.abc import Sequence

import torch

from dmtheory.attribution import Attribution
from dmtheory.checks import check_positive
from dmtheory.derivatives.finite_difference import FiniteDifference
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.leave_out import LeaveOneOut
from dmtheory.engines.base import Engine
from dmtheory.estimand import Estimand, Point
from dmtheory.problems.base import Description, Problem
from dmtheory.responses.collect import Progress, collect


def response_derivative(
    problem: Problem,
    method: FiniteDifference = FiniteDifference(),  # noqa: B008 -- frozen
    *,
    at: float | Bernoulli = 1.0,
    coordinates: Sequence[int] | None = None,
    seed: int = 0,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Attribution:
    r"""Estimate g_i(w) = dF/dw_i of the expected output F(w) = E_r f(Phi(r; w)).

    Per unit of w_i; positive: more weight raises the output. At a subset law it is
    the average E_S int_0^1 g_i(1_{S-i} + t e_i) dt, which the bridge says is the
    datamodel coefficient.

    Args:
        problem: The training map and its outputs.
        method: How to differentiate.
        at: The point w = at * 1, at > 0, or a subset law to average over, of which only
            p counts: the method says how many subsets, `seed` which.
        coordinates: Which examples; all by default.
        seed: The experiment's seed.
        engine: Where trainings run; in this process by default.
        progress: Called with the number of models that were just finished.

    Returns:
        Scores with standard errors over units (exact zeros, one unit, where training
        is deterministic and the point is fixed).

    Raises:
        ValueError: If a coordinate, the point or the step is out of range, or a
            training diverged.
    """
    description = problem.description
    chosen = tuple(range(description.n_train) if coordinates is None else coordinates)
    if not isinstance(at, Bernoulli):
        check_positive(at, "at")
    drawn = isinstance(at, Bernoulli) or not description.deterministic
    if not drawn:
        method = FiniteDifference(step=method.step, n_seeds=1)
    design = method.design(at, chosen, seed)
    responses = collect(problem, design, engine=engine, progress=progress)
    _check_none_diverged(responses.diverged)
    return from_units(
        method.quotients(responses.outputs, chosen),
        description,
        chosen,
        quantity="response derivative",
        point=point_of(at),
        n_models=responses.n_models,
        seed=seed if drawn else None,
        method=f"central differences, step {method.step:g}, {method.n_seeds} unit(s)",
    )


def leave_one_out(
    problem: Problem,
    *,
    coordinates: Sequence[int] | None = None,
    n_seeds: int = 20,
    seed: int = 0,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Attribution:
    """Retrain without each example: F(1) - F(1 - e_i), both sides sharing the seed.

    Args:
        problem: The training map and its outputs.
        coordinates: Which examples; all by default.
        n_seeds: Training seeds; one where training is deterministic.
        seed: The experiment's seed.
        engine: Where trainings run; in this process by default.
        progress: Called with the number of models that were just finished.

    Returns:
        Scores with standard errors over seeds. Positive: the example helps.

    Raises:
        ValueError: If a coordinate is out of range or a training diverged.
    """
    description = problem.description
    chosen = tuple(range(description.n_train) if coordinates is None else coordinates)
    n_seeds = 1 if description.deterministic else n_seeds
    design = LeaveOneOut(coordinates=chosen, n_seeds=n_seeds, seed=seed)
    responses = collect(problem, design, engine=engine, progress=progress)
    _check_none_diverged(responses.diverged)
    outputs = responses.outputs.unflatten(0, (n_seeds, len(chosen) + 1))
    return from_units(
        outputs[:, :1] - outputs[:, 1:],
        description,
        chosen,
        quantity="leave-one-out",
        point=Point("weights", 1.0),
        n_models=responses.n_models,
        seed=None if description.deterministic else seed,
        method=f"retraining without each example, {n_seeds} seed(s)",
    )


def point_of(at: float | Bernoulli) -> Point:
    """Return the point of a derivative: w = at·1, or the average over a subset law."""
    if isinstance(at, Bernoulli):
        return Point("average", at.p)
    return Point("weights", float(at))


def from_units(
    units: torch.Tensor,
    description: Description,
    coordinates: tuple[int, ...],
    *,
    quantity: str,
    point: Point,
    n_models: int,
    seed: int | None,
    method: str,
) -> Attribution:
    """Return the mean over independent units as an attribution.

    Args:
        units: One estimate a unit.
        description: The problem.
        coordinates: Its examples that the rows are.
        quantity: What is estimated.
        point: Where.
        n_models: Trainings spent.
        seed: The experiment's seed; None where nothing was drawn, and then a single
            unit is exact.
        method: How, in words.

    Returns:
        The attribution, with standard errors over units.
    """
    several = len(units) > 1
    error = units.std(0) / len(units) ** 0.5 if several else torch.zeros_like(units[0])
    return Attribution(
        scores=units.mean(0),
        stderr=error if several or seed is None else None,
        units=units if several else None,
        estimand=Estimand(
            quantity=quantity,
            point=point,
            output=description.output,
            normalisation=description.normalisation,
            step_policy=description.step_policy,
            problem=description.digest,
            seeds_per_weight=1 if point.kind == "average" else len(units),
        ),
        train_labels=tuple(description.train_labels[i] for i in coordinates),
        target_labels=description.target_labels,
        n_train=description.n_train,
        n_models=n_models,
        seeds=frozenset() if seed is None else frozenset({seed}),
        method=method,
    )


def _check_none_diverged(diverged: torch.Tensor) -> None:
    if bool(diverged.any()):
        raise ValueError(
            f"{int(diverged.sum())} of {len(diverged)} trainings diverged or did not "
            "converge, the first in row "
            f"{int(diverged.nonzero()[0])}: lower the learning rate, or raise the ridge"
        )

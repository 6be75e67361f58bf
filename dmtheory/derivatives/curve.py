"""The response along one weight, from removal to double: secant and tangent at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least, check_finite, check_open_unit
from dmtheory.derivatives.method import At, resolved
from dmtheory.derivatives.smoothness import warn_of_jumps
from dmtheory.derivatives.units import check_none_diverged
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.nudges import Move, Nudges
from dmtheory.designs.points import check_coordinates, plain_point
from dmtheory.engines.base import Engine
from dmtheory.estimand import Point
from dmtheory.problems.base import Description, Problem
from dmtheory.responses.collect import Progress, collect


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """A mean over training seeds.

    Attributes:
        value: The mean.
        stderr: Its standard error; 0 where training is deterministic, None of a
            single seed where it is not.
    """

    value: Float[Tensor, "*shape targets"]
    stderr: Float[Tensor, "*shape targets"] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseCurve:
    """F(w) with the weights of an example or group times t; all t share their seeds.

    Slopes are per unit of t: at w = 1 per unit of the weight, summed over a group.

    Attributes:
        label: The example, or the group's examples.
        multiples: t, one a point of the curve: 0 is removal, 1 the point itself.
        response: F at each t.
        change: F at each t less F at t = 1, whose errors common seeds make small.
        secant: F(1) - F(0), the leave-one-out effect.
        tangent: dF/dt at t = 1, by a central difference.
        curvature: d^2F/dt^2 there: F_ii of a single example at weight 1.
        datamodel: The same slope by a datamodel, summed over the group; None where
            none was given.
        target_labels: One label a target.
        point: Where t = 1 is.
        output: The output function f.
        step: Of the tangent's difference, in t.
        n_seeds: Training seeds.
        n_models: Trainings spent.
    """

    label: str
    multiples: tuple[float, ...]
    response: Estimate
    change: Estimate
    secant: Estimate
    tangent: Estimate
    curvature: Estimate
    datamodel: Estimate | None
    target_labels: tuple[str, ...]
    point: Point
    output: str
    step: float
    n_seeds: int
    n_models: int


def response_curve(
    problem: Problem,
    examples: int | Sequence[int],
    *,
    at: At = 1.0,
    multiples: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
    step: float = 0.05,
    n_seeds: int = 20,
    datamodel: Attribution | None = None,
    seed: int = 0,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> ResponseCurve:
    """Train along the segment on which the weights of some examples are t times theirs.

    Args:
        problem: The training map and its outputs.
        examples: An example, or the group that moves together.
        at: The point t = 1: a common weight > 0, or one weight >= 0 an example, those
            that move > 0.
        multiples: t >= 0, one a point of the curve. 0 and 1 are trained in any case.
        step: Of the difference that the tangent is, in (0, 1).
        n_seeds: Training seeds; one where training is deterministic.
        datamodel: Scores of the same problem whose slope is put beside the others.
        seed: The experiment's seed.
        engine: Where trainings run; in this process by default.
        progress: Called with the number of models that were just finished.

    Returns:
        The curve, its secant and its tangent.

    Raises:
        ValueError: If an example, a weight, a multiple or the step is out of range, a
            training diverged, or the datamodel is of another problem or output.
    """
    group = (examples,) if isinstance(examples, int) else tuple(examples)
    check_coordinates(group, problem.description.n_train, "examples")
    point, _ = resolved(problem, at, group, seed)
    if isinstance(point, Bernoulli):
        raise ValueError("at must be a point w for a curve, got a subset law")
    _check(point, group, multiples, step, n_seeds)
    description = problem.description
    warn_of_jumps(description.output)
    slope = None if datamodel is None else _slope(datamodel, description, point, group)
    n_seeds = 1 if description.deterministic else n_seeds
    # By their distance from t = 1, so that the tangent's two sides are opposite.
    places = dict.fromkeys([*(t - 1 for t in multiples), -1.0, 0.0, step, -step])
    design = Nudges(
        at=plain_point(point),
        moves=tuple(_move(point, group, away) for away in places),
        n_seeds=n_seeds,
        seed=seed,
    )
    responses = collect(problem, design, engine=engine, progress=progress)
    check_none_diverged(responses.diverged)
    outputs = responses.outputs.unflatten(0, (n_seeds, len(places)))
    along = dict(zip(places, outputs.unbind(1), strict=True))
    here, up, down = along[0.0], along[step], along[-step]
    curve = torch.stack([along[t - 1] for t in multiples], dim=1)

    def mean(units: Tensor) -> Estimate:
        return estimate(units, exact=description.deterministic)

    return ResponseCurve(
        label=", ".join(description.train_labels[i] for i in group),
        multiples=tuple(multiples),
        response=mean(curve),
        change=mean(curve - here[:, None]),
        secant=mean(here - along[-1.0]),
        tangent=mean((up - down) / (2 * step)),
        curvature=mean((up - 2 * here + down) / step**2),
        datamodel=slope,
        target_labels=description.target_labels,
        point=Point.of(point),
        output=description.output,
        step=step,
        n_seeds=n_seeds,
        n_models=responses.n_models,
    )


def estimate(units: Float[Tensor, "units *shape targets"], *, exact: bool) -> Estimate:
    """Return the mean over units with its standard error."""
    value = units.mean(0)
    if len(units) == 1:
        return Estimate(value=value, stderr=torch.zeros_like(value) if exact else None)
    return Estimate(value=value, stderr=units.std(0) / len(units) ** 0.5)


def _move(point: Tensor, group: tuple[int, ...], away: float) -> Move:
    if away == 0:
        return ()
    return tuple((i, away * point[i].item()) for i in group)


def _slope(
    datamodel: Attribution,
    description: Description,
    point: Float[Tensor, " train"],
    group: tuple[int, ...],
) -> Estimate:
    """Return the sum over the group of the datamodel's coefficients times weights.

    Its standard error comes from units, which know how coefficients go together.
    """
    _check_same(datamodel, description)
    labels = tuple(description.train_labels[i] for i in group)
    rows = datamodel.in_unit("per_weight").restricted(labels, description.target_labels)
    weights = point[list(group)]
    stderr = None
    if len(group) == 1 and rows.stderr is not None:
        stderr = rows.stderr[0] * weights
    elif rows.units is not None:
        together = torch.einsum("urt,r->ut", rows.units, weights)
        stderr = estimate(together, exact=False).stderr
    return Estimate(value=weights @ rows.scores, stderr=stderr)


def _check_same(datamodel: Attribution, description: Description) -> None:
    for field, wanted in (
        ("problem", description.digest),
        ("output", description.output),
    ):
        stated = getattr(datamodel.estimand, field)
        if stated != wanted:
            raise ValueError(
                f"datamodel must have the {field} of the curve, {wanted!r}, got "
                f"{stated!r}"
            )


def _check(
    point: Tensor,
    group: tuple[int, ...],
    multiples: Sequence[float],
    step: float,
    n_seeds: int,
) -> None:
    if not bool((point[list(group)] > 0).all()):
        raise ValueError(
            "at must give the examples that move a weight > 0, got 0: its multiples "
            "are all the same"
        )
    check_at_least(len(multiples), 1, "number of multiples")
    check_finite(torch.tensor(multiples, dtype=torch.float64), "multiples")
    if min(multiples) < 0:
        raise ValueError(f"multiples must be >= 0, got {min(multiples)}")
    check_open_unit(step, "step")
    check_at_least(n_seeds, 1, "n_seeds")

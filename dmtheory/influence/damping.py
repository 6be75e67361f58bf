"""Choose the damping of influence on a few subsets that evaluation does not use."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import lds_table
from dmtheory.agreement.resampling import (
    as_is_and_resampled,
    interval_of,
    pooled_products,
)
from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of
from dmtheory.attribution import Attribution
from dmtheory.checks import check_choice
from dmtheory.derivatives.averages.trapezoid import trapezoid_ends
from dmtheory.derivatives.method import At
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.influence.arguments import (
    check_curvature,
    check_damping,
    check_differentiable,
)
from dmtheory.influence.at_models.gradients import prediction_jacobian, target_gradients
from dmtheory.influence.at_models.linearised import damped_curvature, scaled_weights
from dmtheory.influence.at_models.trained_models import check_fixed_steps, models_at
from dmtheory.influence.baselines.gradient_product import forces
from dmtheory.influence.curvature import Curvature, GaussNewton
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.responses.collect import Progress
from dmtheory.responses.responses import Responses

DAMPINGS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
Criterion = Literal["lds", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DampingScore:
    """What one damping gives on the pilot's subsets.

    Attributes:
        damping: Added to the curvature of J.
        lds: Mean rank correlation of predicted and trained outputs.
        lower: That of this damping less that of the chosen one, on the same resamples.
        error: Squared error of the predictions as they stand, each target with its own
            intercept, beside the outputs' own variance: 1 - R^2, pooled.
        slope: Of trained outputs on predicted ones, pooled: above 1 where scores are
            too small.
    """

    damping: float
    lds: Interval
    lower: Interval
    error: Interval
    slope: Interval


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DampingChoice:
    """A damping, by what it was chosen, and the influence that it gives.

    Attributes:
        damping: The choice.
        by: "lds" or "error".
        curve: Every damping's scores, from small to large.
        attribution: Influence with the choice. The pilot's experiment seed is among its
            seeds, so that it cannot be judged on the pilot, and its trainings count.
    """

    damping: float
    by: Criterion
    curve: tuple[DampingScore, ...]
    attribution: Attribution

    @property
    def at_end(self) -> bool:
        """Whether the choice is the least or largest damping that was tried."""
        return self.damping in {self.curve[0].damping, self.curve[-1].damping}


def choose_damping(
    problem: DifferentiableProblem,
    pilot: Responses | SubsetOutputs,
    *,
    dampings: Sequence[float] = DAMPINGS,
    by: Criterion = "lds",
    curvature: Curvature = GaussNewton(),  # noqa: B008 -- frozen, without state
    at: At = 1.0,
    n_seeds: int = 1,
    seed: int = 0,
    parameters: Tensor | None = None,
    draws: int = 1000,
    progress: Progress | None = None,
) -> DampingChoice:
    r"""Choose the damping whose influence predicts a pilot's subsets best.

    The best damping depends on the point, so choose anew at each. Every model is
    trained and its curvature diagonalised once, for all dampings.

    Args:
        problem: A differentiable problem that trains with fixed steps in float64.
        pilot: Models of a few random subsets, of another experiment seed than the
            models of the scores and than the evaluation to come.
        dampings: Those to try, >= 0, in units of J.
        by: "lds" asks for ranks alone; "error" for the scale too, which has a meaning
            at a point that matches the subsets' law only (w = p·1 for subsets of p).
        curvature: The exact Hessian or the Gauss-Newton matrix.
        at: The point w, or a subset law to average over.
        n_seeds: Trained models at a fixed point; one where training is deterministic.
        seed: The experiment's seed.
        parameters: One trained parameter vector a model; nothing is trained then.
        draws: Bootstrap draws over the pilot's subsets, at least 1,000.
        progress: Called with 1 after each model.

    Returns:
        The choice, the whole curve with 95 % intervals, and the influence.

    Raises:
        ValueError: If an argument is out of range, a damping leaves negative or zero
            curvature, or pilot and models share their seed.
    """
    check_differentiable(problem)
    description = problem.description
    check_fixed_steps(description, "influence")
    check_curvature(curvature)
    check_choice(by, ("lds", "error"), "by")
    tried = sorted(set(dampings))
    if not tried:
        raise ValueError("dampings must hold at least one, got none")
    for damping in tried:
        check_damping(damping)
    held_out = evaluation_of(pilot)
    models = models_at(
        problem, at=at, n_seeds=n_seeds, seed=seed, parameters=parameters
    )
    values = torch.tensor(tried, dtype=torch.float64)

    def one(params: Tensor, weights: Tensor) -> Tensor:
        found = _at_every_damping(problem, params, weights, curvature, values)
        return found * _ends(weights, at)[:, None]

    units = models.each(one, progress)
    influences = {
        damping: models.attribution(
            units[:, k],
            description,
            quantity="influence",
            method=f"{curvature.name}, damping {damping:g}",
        )
        for k, damping in enumerate(tried)
    }
    curve, best = _judged(influences, held_out, by, draws)
    chosen = influences[best]
    return DampingChoice(
        damping=best,
        by=by,
        curve=curve,
        attribution=replace(
            chosen,
            seeds=chosen.seeds | held_out.seeds,
            n_models=chosen.n_models + held_out.n_models,
            method=f"{chosen.method}, damping chosen by {by} on "
            f"{len(held_out.outputs)} subsets",
        ),
    )


def _judged(
    influences: dict[float, Attribution],
    held_out: SubsetOutputs,
    by: Criterion,
    draws: int,
) -> tuple[tuple[DampingScore, ...], float]:
    """Return every damping's scores, and the best damping."""
    errors = {d: _errors(held_out, scores, draws) for d, scores in influences.items()}
    named = [(repr(damping), scores) for damping, scores in influences.items()]
    table = lds_table(named, held_out, draws=draws)
    if by == "lds":
        rows = zip(influences, table.rows, strict=True)
        merits = {damping: row.lds.mean.value for damping, row in rows}
    else:
        merits = {damping: -error.value for damping, (error, _) in errors.items()}
    # Of equal ones the largest, which is the safest.
    best = max(merits, key=lambda damping: (merits[damping], damping))
    table = lds_table(named, held_out, reference=repr(best), draws=draws)
    curve = tuple(
        DampingScore(
            damping=damping,
            lds=row.lds.mean,
            lower=row.difference,
            error=errors[damping][0],
            slope=errors[damping][1],
        )
        for damping, row in zip(influences, table.rows, strict=True)
    )
    return curve, best


def _at_every_damping(
    problem: DifferentiableProblem,
    params: Float[Tensor, " params"],
    weights: Float[Tensor, " train"],
    curvature: Curvature,
    dampings: Float[Tensor, " dampings"],
) -> Float[Tensor, "dampings train targets"]:
    """Return dF/dw_i of one model for each damping, from one diagonalisation."""
    scaled = scaled_weights(problem, weights)
    jacobian = prediction_jacobian(problem, params)
    matrix = damped_curvature(problem, params, scaled, curvature, 0.0, jacobian)
    values, basis = torch.linalg.eigh(matrix)
    least = values[0] + dampings[0]
    if not least > len(values) * torch.finfo(values.dtype).eps * values[-1].abs():
        raise ValueError(
            f"dampings must make the {curvature.name} positive definite, but "
            f"{dampings[0].item():g} leaves an eigenvalue of {least.item():.2g}: take "
            "larger ones, or the Gauss-Newton curvature"
        )
    ours = forces(problem, params, weights) @ basis
    theirs = target_gradients(problem, params) @ basis
    inverse = 1 / (values + dampings[:, None])
    return -torch.einsum("ip,dp,tp->dit", ours, inverse, theirs)


def _ends(weights: Tensor, at: At) -> Tensor:
    """Return weights of the trapezoid rule over an example's own weight, if any."""
    if not isinstance(at, Bernoulli):
        return torch.ones_like(weights)
    return trapezoid_ends(weights, at.p)


def _errors(
    held_out: SubsetOutputs, scores: Attribution, draws: int
) -> tuple[Interval, Interval]:
    """Return 1 - R^2 with free intercepts, and the slope, pooled over targets."""
    counts = as_is_and_resampled(held_out.n_units, held_out.unit_size, draws=draws)
    y, x = held_out.mean_outputs(), held_out.predicted(scores)
    y, x = y - y.mean(0), x - x.mean(0)
    yy, xy, xx, rr = (
        pooled_products(a, b, counts)
        for a, b in ((y, y), (x, y), (x, x), (y - x, y - x))
    )
    error, slope = rr / yy, xy / xx.clamp_min(1e-300)
    return interval_of(error).clipped(0.0, float("inf")), interval_of(slope)

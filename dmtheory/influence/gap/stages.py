"""The chain of procedures from retraining to an estimate, and their effects."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import vmap

from dmtheory.attribution import Attribution
from dmtheory.derivatives.units import point_of
from dmtheory.influence.at_models.linearised import linearised
from dmtheory.influence.curvature import GaussNewton
from dmtheory.influence.gap.pbrf import ProximalBregman
from dmtheory.influence.gap.warm_start import retrained_from
from dmtheory.influence.removing.rules import FirstOrder
from dmtheory.problems.base import DifferentiableProblem

STAGES = ("cold start", "warm start", "proximal", "Bregman", "linear", "estimate")

Effects = Float[Tensor, "stages seeds removed targets"]


def effects_of_one_seed(
    problem: DifferentiableProblem,
    params: Tensor,
    weights: Tensor,
    removed: Tensor,
    seed: Tensor,
    damping: float,
) -> Float[Tensor, "stages removed targets"]:
    """Return the effects at every stage of one seed; the estimate is the linear one.

    Args:
        problem: What is trained.
        params: The trained model of this seed.
        weights: w.
        removed: 1 for the examples that are removed together, a row.
        seed: The training seed.
        damping: Of the pull and of the curvature.
    """
    every = torch.cat([weights[None], weights * (1 - removed)])
    outputs = vmap(problem.target_outputs)
    cold = problem.respond(every, seed.repeat(len(every)))
    warm = outputs(retrained_from(problem, params, every, seed))
    near = outputs(retrained_from(problem, params, every, seed, damping=damping))
    model = linearised(
        problem, params, weights, curvature=GaussNewton(), damping=damping
    )
    bregman = ProximalBregman().contributions(model, removed)
    linear = FirstOrder().contributions(model, removed)
    retrained = [stage[0] - stage[1:] for stage in (cold, warm, near)]
    return torch.stack([*retrained, bregman, linear, linear])


def stated_effects(
    estimate: Attribution,
    problem: DifferentiableProblem,
    chosen: tuple[int, ...],
    point: Tensor,
    seed: int | None,
    effects: Effects,
) -> Float[Tensor, "seeds removed targets"]:
    """Return the effects that an estimate states, a seed.

    Args:
        estimate: Influence by some solver.
        problem: What was trained.
        chosen: The removed examples.
        point: w.
        seed: The experiment's seed, where anything was drawn.
        effects: The effects of the other stages.

    Raises:
        ValueError: If it is of other models.
    """
    description, stated = problem.description, estimate.estimand
    ours = description.digest, "influence", point_of(point)
    theirs = stated.problem, stated.quantity, stated.point
    seeds = frozenset() if seed is None else frozenset({seed})
    if ours != theirs or estimate.seeds != seeds:
        raise ValueError(
            "estimate must be influence of this problem, point and seed, got "
            f"{stated} of seeds {sorted(estimate.seeds)}"
        )
    labels = tuple(description.train_labels[i] for i in chosen)
    found = estimate.in_unit("per_weight").restricted(
        train=labels, targets=description.target_labels
    )
    units = found.scores[None] if found.units is None else found.units
    if len(units) != effects.shape[1]:
        raise ValueError(
            f"estimate must have one model a seed ({effects.shape[1]}), got "
            f"{len(units)}"
        )
    return units * point[list(chosen), None]

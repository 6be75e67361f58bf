"""Influence, TRAK and gradient products at a few trained models, kept as files."""

import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dmtheory.agreement.lds import lds_table
from dmtheory.agreement.subset_outputs import SubsetOutputs
from dmtheory.attribution import Attribution
from dmtheory.estimand import Point
from dmtheory.files import save_attribution
from dmtheory.influence.baselines.in_chunks import (
    gradient_product_in_chunks,
    trak_in_chunks,
)
from dmtheory.influence.classical import influence
from dmtheory.problems.base import DifferentiableProblem
from validation.cifar10.models import N_MODELS, models_at, point_seed
from validation.cifar10.players import GroupPlayers, in_groups
from validation.cifar10.sizes import Rule, Sizes
from validation.cifar10.subjects import Subjects
from validation.cifar10.works import HALF, INFLUENCE_AT_HALF

TRAK, PRODUCT = "TRAK", "gradient product"


def keep_influence(
    point: str,
    rule: str,
    pilot: SubsetOutputs,
    subjects: Subjects,
    folder: Path,
    sizes: Sizes,
    *,
    seed: int,
) -> str:
    """Train a few models at a point and keep their influence by a rule of curvature.

    The file `influence-at-p-EK-FAC.npz` holds scores of images, without units, and
    `...-groups.npz` those of groups, with a unit a model. The damping is the one
    whose scores of one model rank the pilot's subsets best.

    Args:
        point: Where: a key of `models.POINTS`.
        rule: By which of the sizes' rules.
        pilot: Models of random subsets of groups, none of the evaluation's.
        subjects: The weighted recipe, its network and its random groups.
        folder: The run's folder.
        sizes: Rules, dampings, and the longest stage.
        seed: The suite's seed.

    Returns:
        Why it was left out; empty if it was made.
    """
    place = place_of(point, rule)
    if path_of(folder, place).exists():
        return ""
    params, weights = models_at(point, subjects, folder, seed)
    params = params.to(subjects.device)

    def at(damping: float, n: int) -> Attribution:
        return _over_models(
            subjects.network, sizes.rules[rule], damping, params[:n], weights[:n]
        )

    tried: list[tuple[str, Attribution]] = []
    begun = time.perf_counter()
    for damping in sizes.dampings:
        tried.append((f"{damping:g}", in_groups(at(damping, 1), subjects.groups)))
        seconds = (time.perf_counter() - begun) / len(tried)
        if N_MODELS * seconds > sizes.stage_seconds:
            return f"left out: {seconds:.0f} s a model"
    best = max(lds_table(tried, pilot).rows, key=lambda row: row.lds.mean.value)
    found = at(float(best.name), N_MODELS)
    # What chose the damping may not judge it.
    chosen = replace(
        found,
        seeds=found.seeds | pilot.seeds,
        method=f"{found.method}, damping by LDS on {len(pilot.outputs)} subsets",
    )
    _save(place, subjects.groups, folder, _trained(chosen, point, seed))
    return ""


def keep_dense(
    name: str, subjects: Subjects, folder: Path, sizes: Sizes, *, seed: int
) -> str:
    """Keep TRAK or the gradient product at w = p·1, from gradients made in chunks.

    Returns:
        Why it was left out; empty if it was made.
    """
    if path_of(folder, name).exists():
        return ""
    params, _ = models_at(INFLUENCE_AT_HALF, subjects, folder, seed)
    params = params.to(subjects.device)

    def of(rows: Tensor) -> Attribution:
        if name == TRAK:
            return trak_in_chunks(
                subjects.network,
                dimension=sizes.trak_dimension,
                damping=sizes.dampings[0],
                at=HALF,
                parameters=rows,
            )
        return gradient_product_in_chunks(subjects.network, at=HALF, parameters=rows)

    begun = time.perf_counter()
    of(params[:1])
    seconds = time.perf_counter() - begun
    if N_MODELS * seconds > sizes.stage_seconds:
        return f"left out: {seconds:.0f} s a model"
    found = _trained(of(params), INFLUENCE_AT_HALF, seed)
    _save(name, subjects.groups, folder, found)
    return ""


def _trained(attribution: Attribution, point: str, seed: int) -> Attribution:
    """Return the attribution with the trainings behind the parameters it was given."""
    return replace(
        attribution,
        n_models=N_MODELS,
        seeds=attribution.seeds | {point_seed(point, seed)},
    )


def _over_models(
    problem: DifferentiableProblem,
    rule: Rule,
    damping: float,
    params: Tensor,
    weights: Tensor,
) -> Attribution:
    """Return influence at each model's own weights, a unit a model."""

    def one(rows: Tensor, at: float | Tensor) -> Attribution:
        return influence(
            problem,
            curvature=rule.curvature,
            solver=rule.solver,
            damping=damping,
            at=at,
            parameters=rows,
        )

    if bool((weights == weights[0, 0]).all()):
        return one(params, weights[0, 0].item())
    each = [one(params[k : k + 1], weights[k]) for k in range(len(params))]
    units = torch.stack([found.scores for found in each])
    # At p = 1/2 the plain average over subsets is the trapezoid rule (theory 2.2).
    return replace(
        each[0],
        scores=units.mean(0),
        stderr=units.std(0) / len(units) ** 0.5 if len(units) > 1 else None,
        units=units if len(units) > 1 else None,
        estimand=replace(each[0].estimand, point=Point("average", HALF)),
    )


def _save(
    place: str, players: GroupPlayers, folder: Path, attribution: Attribution
) -> None:
    of_images = path_of(folder, place)
    of_images.parent.mkdir(parents=True, exist_ok=True)
    save_attribution(
        in_groups(attribution, players), path_of(folder, f"{place}-groups")
    )
    # Last: what is there counts as done.
    save_attribution(replace(attribution, units=None), of_images)


def path_of(folder: Path, place: str) -> Path:
    """Return where an attribution is kept."""
    return folder / "attributions" / f"{place}.npz"


def place_of(point: str, rule: str) -> str:
    """Return the name of a point's influence by a rule."""
    return f"{point.replace(' ', '-')}-{rule}"

"""Influence, TRAK and gradient products at a few trained models, kept as files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dmtheory.agreement.lds import lds_table
from dmtheory.agreement.subset_outputs import SubsetOutputs
from dmtheory.attribution import Attribution
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.seeds import model_seeds
from dmtheory.estimand import Point
from dmtheory.files import save_attribution
from dmtheory.influence.classical import influence
from dmtheory.influence.gradient_product import gradient_product
from dmtheory.influence.trak import trak
from dmtheory.problems.base import DifferentiableProblem
from validation.cifar10.players import GroupPlayers, in_groups
from validation.cifar10.sizes import Rule, Sizes
from validation.cifar10.subjects import Subjects
from validation.cifar10.works import (
    HALF,
    INFLUENCE_AT_HALF,
    INFLUENCE_AT_ONE,
    INFLUENCE_OVER,
    experiment_seed,
)
from validation.claims.why_datamodels_win import SEEDS

POINTS: dict[str, float | None] = {
    INFLUENCE_AT_HALF: HALF,
    INFLUENCE_AT_ONE: 1.0,
    INFLUENCE_OVER: None,
}
TRAK, PRODUCT = "TRAK", "gradient product"
# What gradients of all images at once may take, in bytes.
_MOST_BYTES = 2**34


def attribute(
    name: str,
    subjects: Subjects,
    pilot: SubsetOutputs,
    folder: Path,
    sizes: Sizes,
    *,
    seed: int,
    tick: Callable[[], None],
) -> dict[str, str]:
    """Train a few models at a point and keep what their gradients say.

    Files `influence-at-p-EK-FAC.npz` hold scores of images, without units, and
    `...-groups.npz` those of groups, with a unit a model. The damping is the one
    whose scores rank the pilot's subsets best.

    Args:
        name: Which point: a key of `POINTS`.
        subjects: The weighted recipe, its network and its random groups.
        pilot: Models of random subsets of groups, none of the evaluation's.
        folder: The run's folder.
        sizes: Rules and dampings.
        seed: The suite's seed.
        tick: Called after each file.

    Returns:
        Why something was left out, by name.
    """
    problem, players = subjects.network, subjects.groups
    params, weights = _models(name, subjects, folder, seed)
    notes: dict[str, str] = {}
    for rule_name, rule in sizes.rules.items():
        place = f"{_slug(name)}-{rule_name}"
        if not _kept(folder, place):
            found = _influence(problem, players, pilot, rule, sizes, params, weights)
            _save(place, players, folder, _of(found, name, seed))
        tick()
    if name == INFLUENCE_AT_HALF:
        n_classes = problem.predictions(params[0]).shape[1]
        needed = 8 * players.problem.description.n_train * n_classes * params.shape[1]
        for place, make in _dense(problem, params, sizes).items():
            if needed > _MOST_BYTES:
                notes[place] = (
                    f"left out: gradients of all images at once take "
                    f"{needed / 2**30:,.0f} GiB"
                )
            elif not _kept(folder, place):
                _save(place, players, folder, _of(make(), name, seed))
            tick()
    return notes


def _models(
    name: str, subjects: Subjects, folder: Path, seed: int
) -> tuple[Tensor, Tensor]:
    """Return trained parameters, and the weights of the images that they had."""
    n, level = max(SEEDS), POINTS[name]
    experiment = _experiment(name, seed)
    rows = torch.arange(n)
    if level is None:
        weights = _half_subsets(subjects.groups, n, experiment)
    else:
        n_train = subjects.data.n_train
        weights = torch.full((n, n_train), level, dtype=torch.float64)
    path = folder / "models" / f"{_slug(name)}.npy"
    if not path.exists():
        fit = subjects.weighted.fit(weights, model_seeds(experiment, rows))
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.stem}.partial.npy")
        np.save(partial, fit.params.cpu().double().numpy())
        partial.replace(path)
    return torch.from_numpy(np.load(path, allow_pickle=False)), weights


def _half_subsets(players: GroupPlayers, n: int, experiment: int) -> Tensor:
    """Return the images' weights in random half subsets of groups, none of them empty.

    Where nothing is trained on there is no derivative; of 64 groups none ever is.
    """
    law = Bernoulli(p=HALF, seed=experiment)
    chosen = law.weights(torch.arange(8 * n), players.description.n_train)
    chosen = chosen[chosen.any(1)][:n]
    return chosen[:, list(players.groups)]


def _experiment(name: str, seed: int) -> int:
    """Return the experiment seed; both levels share it, so that only they differ."""
    stream = INFLUENCE_OVER if POINTS[name] is None else INFLUENCE_AT_ONE
    return experiment_seed(seed, stream)


def _of(attribution: Attribution, name: str, seed: int) -> Attribution:
    """Return the attribution with the trainings behind the parameters it was given."""
    return replace(
        attribution,
        n_models=max(SEEDS),
        seeds=attribution.seeds | {_experiment(name, seed)},
    )


def _influence(
    problem: DifferentiableProblem,
    players: GroupPlayers,
    pilot: SubsetOutputs,
    rule: Rule,
    sizes: Sizes,
    params: Tensor,
    weights: Tensor,
) -> Attribution:
    """Return influence with the damping whose scores of one model rank best."""

    def at(damping: float, n: int) -> Attribution:
        return _over_models(problem, rule, damping, params[:n], weights[:n])

    tried = [(f"{d:g}", in_groups(at(d, 1), players)) for d in sizes.dampings]
    best = max(lds_table(tried, pilot).rows, key=lambda row: row.lds.mean.value)
    found = at(float(best.name), len(params))
    return replace(
        found,
        # What chose the damping may not judge it.
        seeds=found.seeds | pilot.seeds,
        method=f"{found.method}, damping by LDS on {len(pilot.outputs)} subsets",
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


def _dense(
    problem: DifferentiableProblem, params: Tensor, sizes: Sizes
) -> dict[str, Callable[[], Attribution]]:
    return {
        TRAK: lambda: trak(
            problem,
            dimension=sizes.trak_dimension,
            damping=sizes.dampings[0],
            at=HALF,
            parameters=params,
        ),
        PRODUCT: lambda: gradient_product(problem, at=HALF, parameters=params),
    }


def _save(
    place: str, players: GroupPlayers, folder: Path, attribution: Attribution
) -> None:
    path = folder / "attributions"
    path.mkdir(parents=True, exist_ok=True)
    save_attribution(in_groups(attribution, players), path / f"{place}-groups.npz")
    # Last: what is there counts as done.
    save_attribution(replace(attribution, units=None), path / f"{place}.npz")


def _kept(folder: Path, place: str) -> bool:
    return path_of(folder, place).exists()


def path_of(folder: Path, place: str) -> Path:
    """Return where an attribution is kept."""
    return folder / "attributions" / f"{place}.npz"


def place_of(name: str, rule: str) -> str:
    """Return the name of a point's influence by a rule."""
    return f"{_slug(name)}-{rule}"


def _slug(name: str) -> str:
    return name.replace(" ", "-")

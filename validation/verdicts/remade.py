"""Wrong estimates that no change of a right one gives: they are made anew, wrongly.

Two mistakes. The sides of a comparison seed by seed do not share their seeds. Damping
is in another unit: N times as large, as for a loss that is summed where the curvature
is of its mean (at w = 1, where W = N, that is W times too). A claim that compares in
such a way has to notice.
"""

from collections.abc import Callable
from dataclasses import replace

from dmtheory.attribution import Attribution
from dmtheory.derivatives.differences.finite_difference import FiniteDifference
from dmtheory.derivatives.method import DerivativeMethod
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.derivatives.through_training.pathwise import Pathwise
from dmtheory.influence.classical import influence
from validation.claim import Entry, Evidence
from validation.claims import (
    average_not_instance,
    influence_gap,
    inverse_p_scaling,
    why_datamodels_win,
)
from validation.laboratory import Laboratory

SEEDS_NOT_SHARED = "seeds not shared"
WRONG_UNIT = "damping in the wrong unit"
# Of seeds that no side of these comparisons has.
_OTHER = "own seeds"

Estimates = dict[str, Attribution]


def remade(
    laboratory: Laboratory, claim_id: str, entry: Entry, evidence: Evidence
) -> tuple[tuple[str, Evidence], ...]:
    """Return the evidence with wrong estimates, by what is wrong with them.

    Empty where a claim does not compare in the way that would be wrong, where training
    has no seeds, and where nothing is damped.
    """
    found: list[tuple[str, Estimates]] = []
    description = laboratory.problem(entry.problem).description
    scale_free = description.normalisation == "sum"
    if evidence.blocked or description.deterministic:
        return ()
    if claim_id in BY_SEED and (scale_free or claim_id not in ONLY_SCALE_FREE):
        make, _ = BY_SEED[claim_id]
        wrong = make(laboratory, entry.problem, laboratory.experiment_seed(_OTHER))
        found.append((SEEDS_NOT_SHARED, wrong))
    damping = laboratory.settings[entry.problem].damping
    if claim_id in BY_DAMPING and damping > 0:
        make_damped = BY_DAMPING[claim_id]
        wrong = make_damped(laboratory, entry.problem, description.n_train * damping)
        found.append((WRONG_UNIT, wrong))
    for _, estimates in found:
        assert estimates.keys() <= evidence.estimates.keys()
        laboratory.models_trained += sum(a.n_models for a in estimates.values())
    return tuple(
        (name, replace(evidence, estimates={**evidence.estimates, **estimates}))
        for name, estimates in found
    )


def derivative_at_p(laboratory: Laboratory, name: str, seed: int) -> Estimates:
    """Return what is held against models that are trained with the same seeds."""
    setting = laboratory.settings[name]
    method = Pathwise(n_seeds=average_not_instance.SEEDS[name])
    return {"derivative": _derivative(laboratory, name, method, setting.p, seed)}


def derivative_at_c(laboratory: Laboratory, name: str, seed: int) -> Estimates:
    """Return what a law holds for seed by seed."""
    setting, level = laboratory.settings[name], inverse_p_scaling.LEVEL
    method = FiniteDifference(step=setting.step * level, n_seeds=setting.n_seeds)
    some = laboratory.coordinates(name, inverse_p_scaling.NEURAL_COORDINATES)
    return {"at c": _derivative(laboratory, name, method, level, seed, some)}


def derivative_through_training(
    laboratory: Laboratory, name: str, seed: int
) -> Estimates:
    """Return what equals the differences of the same seeds."""
    setting = laboratory.settings[name]
    method = Pathwise(n_seeds=setting.n_seeds)
    some = laboratory.coordinates(name, setting.n_coordinates)
    return {"pathwise": _derivative(laboratory, name, method, 1.0, seed, some)}


def influence_at_p(laboratory: Laboratory, name: str, seed: int) -> Estimates:
    """Return what the matched point changes nothing of, under `sum`."""
    setting, n_seeds = laboratory.settings[name], max(why_datamodels_win.SEEDS)
    found = influence(
        laboratory.problem(name),  # type: ignore[arg-type]
        curvature=setting.curvature,
        damping=laboratory.damping(name, at=setting.p),
        at=setting.p,
        n_seeds=n_seeds,
        seed=seed,
    )
    return {f"influence at p, {n_seeds} seed(s)": found}


def influence_of_removals(
    laboratory: Laboratory, name: str, damping: float
) -> Estimates:
    """Return the linear effects of removals, which the proximal response checks."""
    found = influence(
        laboratory.problem(name),  # type: ignore[arg-type]
        curvature=laboratory.settings[name].curvature,
        damping=damping,
        n_seeds=influence_gap.SEEDS["M"],
        seed=laboratory.experiment_seed("influence"),
    )
    entry = Entry(scale="M", problem=name)
    some = influence_gap.removed_examples(laboratory, entry)
    labels = [found.train_labels[i] for i in some]
    return {influence_gap.ESTIMATE: found.restricted(labels)}


def _derivative(
    laboratory: Laboratory,
    name: str,
    method: DerivativeMethod,
    at: float,
    seed: int,
    coordinates: tuple[int, ...] | None = None,
) -> Attribution:
    return response_derivative(
        laboratory.problem(name),
        method,
        at=at,
        coordinates=coordinates,
        seed=seed,
        engine=laboratory.engine,
    )


# Claims that compare seed by seed: what is made anew, and the stream of right seeds.
BY_SEED: dict[str, tuple[Callable[[Laboratory, str, int], Estimates], str]] = {
    "average-not-instance": (derivative_at_p, "pathwise"),
    "inverse-p-scaling": (derivative_at_c, "derivative"),
    "pathwise-vs-response": (derivative_through_training, "derivative"),
    "why-datamodels-win": (influence_at_p, "influence"),
}
# Of those, claims where only scale-free training is compared so.
ONLY_SCALE_FREE = ("why-datamodels-win",)
# Claims that hold damped influence against what damping means.
BY_DAMPING: dict[str, Callable[[Laboratory, str, float], Estimates]] = {
    "influence-gap": influence_of_removals,
}

"""What influence on a network answers: the proximal response, not retraining."""

from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import interval_of
from dmtheory.attribution import Attribution
from dmtheory.derivatives.units import from_units
from dmtheory.estimand import Point
from dmtheory.influence.gap.influence_gap import TERMS, InfluenceGap, influence_gap
from dmtheory.influence.gap.stages import STAGES
from dmtheory.influence.gap.statistics import (
    correlations,
    inner_products,
    resampled_means,
)
from dmtheory.problems.base import DifferentiableProblem
from validation.claim import SCALE, SIGN, Claim, Entry, Evidence, exact_part
from validation.laboratory import Laboratory
from validation.made_up.quadratic_removals import (
    CORRECTED,
    FIRST_ORDER,
    quadratic_removals,
)
from validation.statistics.by_seed import units_of
from validation.verdicts.verdict import SUPPORTED, Part

# Which examples are removed is what varies at a network, not the seeds.
REMOVED = {"V": 40, "M": 160}
# Where the two correlations are near one another, all.
ALL_REMOVED = ("cancer-network-sum", "cancer-network-count")
SEEDS = {"V": 1, "M": 4}
# Of a quadratic objective the response to a whole removal is first order over 1 - h, h
# the leverage; both are known from the trained model, without the response. What is
# judged is the slope over the one that they leave: within half, in logarithms, of the
# least wrong scale that a claim has to notice.
SLOPE = (1.25**-0.5, 1.25**0.5)
VANISHES = 1e-6
ESTIMATE, RESPONSE, RETRAINING = "linear", "Bregman", "cold start"
QUANTITIES = {
    ESTIMATE: "influence",
    RESPONSE: "proximal Bregman response",
    RETRAINING: "leave-one-out",
    FIRST_ORDER: "influence",
    CORRECTED: "leave-one-out",
}


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Retrain, warm-start, pull, solve and linearise without each of some examples."""
    name = entry.problem
    problem, setting = laboratory.problem(name), laboratory.settings[name]
    assert isinstance(problem, DifferentiableProblem)
    removed = removed_examples(laboratory, entry)
    seed = laboratory.experiment_seed("influence")
    found = influence_gap(
        problem,
        damping=setting.damping,
        removed=removed,
        n_seeds=SEEDS[entry.scale],
        seed=seed,
    )
    laboratory.models_trained += 3 * (len(removed) + 1) * SEEDS[entry.scale]
    laboratory.models_trained += SEEDS[entry.scale]
    effects = {
        stage: found.effects[STAGES.index(stage)]
        for stage in (ESTIMATE, RESPONSE, RETRAINING)
    } | quadratic_removals(
        problem,
        removed,
        damping=setting.damping,
        n_seeds=SEEDS[entry.scale],
        seed=seed,
    )
    stages = {
        stage: from_units(
            units,
            problem.description,
            removed,
            quantity=QUANTITIES[stage],
            point=Point("weights", 1.0),
            n_models=SEEDS[entry.scale],
            seed=None if problem.description.deterministic else seed,
            method=f"effect of a removal, {stage}",
        )
        for stage, units in effects.items()
    }
    return Evidence(
        estimates={ESTIMATE: stages.pop(ESTIMATE)},
        references=stages,
        numbers=_terms(found),
        blocked=laboratory.blocked(name),
    )


def removed_examples(laboratory: Laboratory, entry: Entry) -> tuple[int, ...]:
    """Return the examples that are removed, one at a time."""
    every = entry.problem in ALL_REMOVED
    n_removed = None if every else REMOVED[entry.scale]
    return laboratory.coordinates(entry.problem, n_removed)


def _terms(found: InfluenceGap) -> dict[str, float]:
    numbers = {}
    for term in found.terms:
        size = term.size
        for end, value in (("", size.value), (" low", size.low), (" high", size.high)):
            numbers[term.name + end] = value
    return numbers


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Influence is nearer to the proximal response than to retraining."""
    terms = [
        Part(
            name=name,
            statement="root mean square of this term of the gap, over that of "
            "retraining (reported)",
            interval=Interval(
                *(evidence.numbers[f"{name}{end}"] for end in ("", " low", " high"))
            ),
            tolerance=(0.0, None),
            judged=False,
            headline=False,
        )
        for name in TERMS
    ]
    slope = Part(
        name="slope on the proximal response",
        statement="influence on the proximal Bregman response of whole removals, over "
        "the slope that leverages leave: 1 within the root of 1.25",
        interval=_slope(evidence, RESPONSE),
        tolerance=SLOPE,
    )
    if entry.scale == "V":
        others = max(evidence.numbers[n] for n in TERMS if n != "linearisation")
        return [
            exact_part(
                "all but linearisation vanish",
                "converged and convex, no damping: largest of the other terms",
                others,
                VANISHES,
            ),
            Part(
                name="slope on retraining",
                statement="influence on the effect of retraining, over the slope that "
                "leverages leave: 1 within the root of 1.25",
                interval=_slope(evidence, RETRAINING),
                tolerance=SLOPE,
            ),
        ]
    return [
        Part(
            name="nearer to the proximal response",
            statement="correlation of influence with the proximal Bregman response "
            "less that with retraining: above 0",
            interval=_nearer(evidence),
            tolerance=(0.0, None),
        ),
        slope,
        *terms,
    ]


def _effects(evidence: Evidence) -> Tensor:
    """Return influence, response and retraining, [stages, seeds, removed, targets]."""
    references = evidence.references
    return units_of([
        evidence.estimates[ESTIMATE],
        references[RESPONSE],
        references[RETRAINING],
    ])


def _slope(evidence: Evidence, stage: str) -> Interval:
    """Return the slope on a stage over that of first order on the corrected one.

    Over examples and seeds, drawn at once for all.
    """
    references = evidence.references
    sides = units_of([
        evidence.estimates[ESTIMATE],
        references[stage],
        references[FIRST_ORDER],
        references[CORRECTED],
    ])
    found, counts = resampled_means(sides, 1000, 0)
    influence, response, plain, corrected = (found[:, i] for i in range(4))
    slope, predicted = (
        inner_products(x, y, counts) / inner_products(y, y, counts)
        for x, y in ((influence, response), (plain, corrected))
    )
    return interval_of(slope / predicted)


def _nearer(evidence: Evidence) -> Interval:
    drawn, counts = resampled_means(_effects(evidence), 1000, 0)
    influence, response, retraining = (drawn[:, place] for place in range(3))
    gain = correlations(influence, response, counts) - correlations(
        influence, retraining, counts
    )
    return interval_of(gain)


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    return evidence.estimates[ESTIMATE], evidence.references[RESPONSE]


CLAIM = Claim(
    id="influence-gap",
    title="What influence answers on a network",
    statement=(
        "Damped influence on a network agrees better with the proximal Bregman "
        "response than with retraining; on a converged convex problem the gap to "
        "retraining is linearisation alone."
    ),
    source="Theory 3.4; Bae et al. 2022, section 4",
    expected=SUPPORTED,
    entries=(
        Entry(scale="V", problem="breast-cancer-sum", suite="thorough"),
        Entry(scale="M", problem="digits-sum", suite="thorough"),
        Entry(scale="M", problem="digits-count", suite="thorough"),
        Entry(scale="M", problem="cancer-network-sum", suite="thorough"),
        Entry(scale="M", problem="cancer-network-count", suite="thorough"),
        Entry(scale="V", problem="diabetes-sum", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: the proximal response"),
    notices=(SCALE, SIGN),
)

"""Removed from the full data together, examples do more than a datamodel adds up."""

from dmtheory.agreement.bootstrap import Interval
from dmtheory.applications.choosing import crossed
from dmtheory.applications.counterfactual import chosen_sets
from dmtheory.applications.retraining import retrain_without
from validation.claim import SCALE, SIGN, Claim, Entry, Evidence
from validation.claims.counterfactual import (
    FIRST,
    MANY,
    ONE,
    SECOND,
    SEEDS,
    SEEDS_OF_ONE,
    SLOPE,
    drawn,
    flat,
    halves_table,
    part_of_slope,
)
from validation.laboratory import Laboratory
from validation.verdicts.verdict import REFUTED, Part

# Each size has seeds of its own, so that their slopes are independent.
SEEDS_AT = {ONE: SEEDS_OF_ONE, MANY: SEEDS}


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Retrain without what each half of the models puts first."""
    name = entry.problem
    problem, datamodel = laboratory.problem(name), laboratory.datamodel(name)
    one, two = crossed(datamodel)
    targets = range(len(datamodel.target_labels))
    seed = 100 * laboratory.experiment_seed("removals") + 18
    retrained = {
        _at(k): retrain_without(
            problem,
            flat(chosen_sets({FIRST: one, SECOND: two}, targets, (k,))),
            n_seeds=n_seeds,
            seed=seed + place,
            engine=laboratory.engine,
        )
        for place, (k, n_seeds) in enumerate(SEEDS_AT.items())
    }
    laboratory.models_trained += sum(found.n_models for found in retrained.values())
    return Evidence(
        estimates={
            "datamodel": datamodel,
            FIRST: one.by,
            SECOND: one.predicted_by,
        },
        references={
            "chosen by the first half": one.by,
            "chosen by the second half": two.by,
        },
        retrained=retrained,
        blocked=laboratory.blocked(name),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """The slope of 2 %, which is not near 1, and its growth from one example."""
    slopes = {
        k: halves_table(evidence, _at(k), k).slope([FIRST, SECOND], k) for k in SEEDS_AT
    }
    one, many = slopes[ONE], slopes[MANY]
    growth = Interval(many.value - one.value, many.low - one.high, many.high - one.low)
    return [
        part_of_slope(
            f"slope at the full data, k = {MANY}",
            f"F(1 - 1_A) - F(1) on -p sum beta over A, the {MANY} first of the other "
            "half of the models",
            many,
            SLOPE,
            expected=REFUTED,
        ),
        Part(
            name="that slope grows with the set",
            statement="alike examples stand in for one another and together do more "
            f"than their sum: from one example ({one.value:.2f} [{one.low:.2f}, "
            f"{one.high:.2f}]) to {MANY}, above 0",
            interval=growth,
            tolerance=(0.0, None),
            over="targets",
            headline=False,
        ),
    ]


def _at(k: int) -> str:
    return f"full data, {k}"


CLAIM = Claim(
    id="counterfactual-full-data",
    title="Removed from the full data, examples do what a datamodel adds up",
    statement=(
        "Removed from the full data, up to 2 % of the examples, those that a datamodel "
        "puts first, change the output by the sum of what it says of each, to a fifth: "
        "the slope of actual on predicted changes lies in [0.8, 1.2]."
    ),
    source="Ilyas et al. 2022, section 4.1; theory 2.8, 3.2 and section 6",
    expected=REFUTED,
    entries=(Entry(scale="M", problem="digits-sum", suite="thorough"),),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: itself"),
    notices=(SCALE, SIGN),
)

"""What a datamodel says matters most does, as it comes to and goes from subsets."""

from dmtheory.agreement.bootstrap import Interval
from dmtheory.applications.choosing import Choice, at_random, crossed
from dmtheory.applications.counterfactual import as_choices, chosen_sets, removal_table
from dmtheory.applications.removal_table import RemovalTable
from dmtheory.applications.retraining import Sets, retrain_without
from dmtheory.attribution import Attribution
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.influence.baselines.gradient_product import gradient_product
from validation.claim import RANK, SCALE, SIGN, Claim, Entry, Evidence
from validation.laboratory import Laboratory
from validation.verdicts.controls import CONTROLS, MORE_CONTROLS
from validation.verdicts.verdict import SUPPORTED, Part

# One example, 1 % and 2 % of the 300.
ONE, FEW, MANY = 1, 3, 6
SLOPE = (0.8, 1.2)
# For one example the slope is 1 by definition.
SLOPE_OF_ONE = (0.85, 1.15)
RANDOM_SETS = 4
# Subsets that one example, and that 2 %, come and go in.
SUBSETS = {ONE: 32, MANY: 12}
# One example does little beside the noise of a seed, and its removals are few.
SEEDS_OF_ONE, SEEDS = 32, 6
FIRST, SECOND = "first half", "second half"


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Retrain without what each attribution, and each wrong one, puts first."""
    name = entry.problem
    problem = laboratory.problem(name)
    datamodel = laboratory.datamodel(name)
    product = laboratory.made(
        ("gradient product", name),
        lambda: gradient_product(
            problem,  # type: ignore[arg-type]
            n_seeds=laboratory.settings[name].influence_models,
            seed=laboratory.experiment_seed("influence"),
        ),
    )
    one, two = crossed(datamodel)
    halves = {FIRST: one, SECOND: two}
    # What a wrong estimate would remove is trained too, so that it can be judged.
    wrong = {c.name: c.spoil(datamodel) for c in (*CONTROLS, *MORE_CONTROLS)}
    others = {"datamodel": datamodel, "gradient product": product, **wrong}
    others |= _random(datamodel)
    targets = range(len(datamodel.target_labels))
    sets = flat(chosen_sets(as_choices(others), targets, (FEW, MANY)))
    seed = 100 * laboratory.experiment_seed("removals") + 10
    retrained = {
        "full data": retrain_without(
            problem, sets, n_seeds=SEEDS, seed=seed, engine=laboratory.engine
        ),
    }
    for place, (k, n_subsets) in enumerate(SUBSETS.items()):
        retrained[f"half subsets, {k}"] = retrain_without(
            problem,
            flat(chosen_sets(halves, targets, (k,))),
            at=Bernoulli(p=laboratory.settings[name].p, n_models=n_subsets),
            seed=seed + 1 + place,
            engine=laboratory.engine,
        )
    laboratory.models_trained += sum(found.n_models for found in retrained.values())
    return Evidence(
        estimates={
            "datamodel": datamodel,
            FIRST: one.by,
            SECOND: one.predicted_by,
        },
        references={
            "gradient product": product,
            "chosen by the first half": one.by,
            "chosen by the second half": two.by,
        },
        retrained=retrained,
        blocked=laboratory.blocked(name),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Slopes where the datamodel lives; who finds more at the full data."""
    inside = [
        part_of_slope(
            f"slope in half subsets, k = {k}",
            f"F(S - A) - F(S + A) on -sum beta over A, the {k} first of the other "
            "half of the models",
            halves_table(evidence, f"half subsets, {k}", k).slope([FIRST, SECOND], k),
            SLOPE_OF_ONE if k == ONE else SLOPE,
        )
        for k in SUBSETS
    ]
    return [*inside, *_larger(evidence)]


def _larger(evidence: Evidence) -> list[Part]:
    datamodel = evidence.estimates["datamodel"]
    product = evidence.references["gradient product"]
    random = _random(datamodel)
    choices = {"datamodel": datamodel, "gradient product": product, **random}
    table = removal_table(
        evidence.retrained["full data"],
        choices,
        ks=(FEW, MANY),
        targets=range(len(datamodel.target_labels)),
    )
    others = {"gradient product": ("gradient product",), "random": tuple(random)}
    return [
        Part(
            name=f"larger fall than by {other}, k = {k}",
            statement="mean fall of the output, minus that of removals by the other",
            interval=_least([table.difference(name, "datamodel", k) for name in names]),
            tolerance=(0.0, None),
            over="targets",
        )
        for other, names in others.items()
        for k in (FEW, MANY)
    ]


def _least(intervals: list[Interval]) -> Interval:
    """Return the interval that leaves the least room."""
    return min(intervals, key=lambda interval: interval.low)


def halves_table(evidence: Evidence, where: str, k: int) -> RemovalTable:
    """Return removals chosen by one half of the models, predicted by the other."""
    chosen_by = evidence.references
    choices = {
        FIRST: Choice(
            by=chosen_by["chosen by the first half"],
            predicted_by=evidence.estimates[SECOND],
        ),
        SECOND: Choice(
            by=chosen_by["chosen by the second half"],
            predicted_by=evidence.estimates[FIRST],
        ),
    }
    return removal_table(
        evidence.retrained[where],
        choices,
        ks=(k,),
        targets=range(len(choices[FIRST].by.target_labels)),
    )


def part_of_slope(
    name: str,
    statement: str,
    slope: Interval,
    tolerance: tuple[float, float],
    *,
    expected: str = SUPPORTED,
) -> Part:
    """Return the part that a slope lies in a range, or as expected does not."""
    low, high = tolerance
    return Part(
        name=name,
        statement=f"{statement}: in [{low}, {high}]",
        interval=slope,
        tolerance=tolerance,
        over="targets",
        expected=expected,
    )


def _random(like: Attribution) -> dict[str, Attribution]:
    return {f"random {i}": at_random(like, seed=i) for i in range(RANDOM_SETS)}


def flat(sets: tuple[tuple[Sets, ...], ...]) -> list[tuple[int, ...]]:
    """Return the sets of all choices, sizes and targets in one list."""
    return [members for by_k in sets for by_target in by_k for members in by_target]


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows: the datamodel against itself."""
    return evidence.estimates["datamodel"], evidence.estimates["datamodel"]


CLAIM = Claim(
    id="counterfactual",
    title="Removing what a datamodel names does what it says",
    statement=(
        "Examples that a datamodel puts first, up to 2 % of the data, move the output "
        "by the sum of their coefficients as they come to and go from random subsets; "
        "removed from the full data they lower it more than those that gradient "
        "products put first, and than random ones. By how much, there, is another "
        "claim: counterfactual-full-data."
    ),
    source="Ilyas et al. 2022, section 4.1; theory 2.1, 2.8 and 3.2",
    expected=SUPPORTED,
    entries=(
        Entry(scale="M", problem="digits-sum", suite="thorough"),
        Entry(scale="M", problem="cancer-network-sum", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: itself"),
    notices=(SCALE, SIGN, RANK),
)

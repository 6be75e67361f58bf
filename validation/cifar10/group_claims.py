"""The claims on groups of images: evidence from the archive, judged as everywhere."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from dmtheory.agreement.subset_outputs import evaluation_of
from dmtheory.attribution import Attribution
from validation.cifar10.archive import Archive
from validation.cifar10.attributions import PRODUCT, TRAK, place_of
from validation.cifar10.models import POINTS
from validation.cifar10.works import (
    AT_HALF,
    AT_ONE,
    CLASS_DIRECTIONS,
    CLASS_GROUPS,
    CLASS_PAIRS,
    DIFFERENCES,
    GROUP_SUBSETS,
    GROUPS,
    HALF,
    INFLUENCE_AT_HALF,
    INFLUENCE_AT_ONE,
    INFLUENCE_OVER,
    PAIRS,
    task_of,
)
from validation.claim import Entry, Evidence
from validation.claims import linear_enough
from validation.claims.why_datamodels_win import LAW, SEEDS, law_of

# Of groups of images: theory, section 6, scale G.
TOLERANCE = 0.15
# How the claim names the point of so many seeds.
_NAMED: dict[str, Callable[[int], str]] = {
    INFLUENCE_AT_ONE: lambda n: f"influence at 1, {n} seed(s)",
    INFLUENCE_AT_HALF: lambda n: f"influence at p, {n} seed(s)",
    INFLUENCE_OVER: lambda n: f"influence over {max(2, n)} subsets",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupClaim:
    """A claim of `validation.claims` at scale G.

    Attributes:
        claim_id: The claim, whose judge decides.
        problem: The problem's key.
        variant: What sets it apart from another entry of that claim and problem.
        needs: Work and tasks that it is made of.
        measure: Gathers the evidence.
    """

    claim_id: str
    problem: str
    needs: tuple[str, ...]
    measure: Callable[[Archive], Evidence]
    variant: str = ""

    @property
    def entry(self) -> Entry:
        """Where it is decided."""
        return Entry(scale="G", problem=self.problem, suite="cifar10")


def posted(archive: Archive) -> Evidence:
    """Hold the datamodel of groups against the derivative at w = 1."""
    return Evidence(
        estimates={"datamodel": archive.datamodel(GROUPS)},
        references={"derivative": archive.derivative(GROUPS, at=1.0)},
        numbers={"delta": TOLERANCE},
        blocked=archive.blocked(GROUPS),
    )


def matched(problem: str) -> Callable[[Archive], Evidence]:
    """Hold the datamodel against random directions at the matched point."""

    def measure(archive: Archive) -> Evidence:
        return _matched(archive, problem, archive.derivative(problem, at=HALF))

    return measure


def matched_by_differences(archive: Archive) -> Evidence:
    """Hold the datamodel against finite differences at the matched point."""
    return _matched(archive, GROUPS, archive.differences())


def _matched(archive: Archive, problem: str, slope: Attribution) -> Evidence:
    datamodel = archive.datamodel(problem)
    return Evidence(
        estimates={"datamodel": datamodel.restricted(slope.train_labels)},
        references={"derivative": slope},
        numbers={"delta": TOLERANCE},
        blocked=archive.blocked(problem),
    )


def linear(archive: Archive) -> Evidence:
    """Score the datamodel on held-out subsets of groups."""
    return linear_enough.measure(archive, Entry(scale="G", problem=GROUPS))


def influences(rule: str) -> Callable[[Archive], Evidence]:
    """Score influence by a rule of curvature at each point, averaged over seeds."""

    def measure(archive: Archive) -> Evidence:
        estimates = {"datamodel": archive.datamodel(GROUPS)}
        for point in POINTS:
            found = archive.attribution(f"{place_of(point, rule)}-groups")
            assert found is not None
            for n_seeds in SEEDS:
                name = _NAMED[point](n_seeds)
                n = max(2, n_seeds) if point == INFLUENCE_OVER else n_seeds
                estimates[name] = _of_first(found, n)
        for place in (TRAK, PRODUCT):
            found = archive.attribution(f"{place}-groups")
            if found is not None:
                estimates[f"{place} at p, {max(SEEDS)} seed(s)"] = found
        return Evidence(
            estimates=estimates,
            numbers={LAW: law_of(archive, GROUPS)},
            held_out={"held out": evaluation_of(archive.evaluation(GROUPS))},
            blocked=archive.blocked(GROUPS),
        )

    return measure


def _of_first(attribution: Attribution, n: int) -> Attribution:
    """Return the mean over the first models."""
    assert attribution.units is not None
    units = attribution.units[:n]
    several = n > 1
    return replace(
        attribution,
        scores=units.mean(0),
        units=units if several else None,
        stderr=units.std(0) / n**0.5 if several else None,
        n_models=n,
    )


def group_claims(archive: Archive) -> list[GroupClaim]:
    """Return the claims on groups, in the order of the report."""
    found = [
        GroupClaim(
            claim_id="posted-identity",
            problem=GROUPS,
            needs=(PAIRS, AT_ONE),
            measure=posted,
        ),
        GroupClaim(
            claim_id="matched-derivative",
            problem=GROUPS,
            needs=(PAIRS, AT_HALF),
            measure=matched(GROUPS),
            variant="random directions",
        ),
        GroupClaim(
            claim_id="matched-derivative",
            problem=GROUPS,
            needs=(PAIRS, DIFFERENCES),
            measure=matched_by_differences,
            variant="finite differences",
        ),
        GroupClaim(
            claim_id="matched-derivative",
            problem=CLASS_GROUPS,
            needs=(CLASS_PAIRS, CLASS_DIRECTIONS),
            measure=matched(CLASS_GROUPS),
        ),
        GroupClaim(
            claim_id="linear-enough",
            problem=GROUPS,
            needs=(PAIRS, GROUP_SUBSETS),
            measure=linear,
        ),
    ]
    return found + [
        GroupClaim(
            claim_id="why-datamodels-win",
            problem=GROUPS,
            needs=(PAIRS, GROUP_SUBSETS, *(task_of(point, rule) for point in POINTS)),
            measure=influences(rule),
            variant=rule,
        )
        for rule in archive.sizes.rules
    ]

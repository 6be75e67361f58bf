"""The post's theorem as written: beta(1/2) = dF/dw at w = 1."""

from dmtheory.agreement.bootstrap import Interval
from dmtheory.attribution import Attribution
from dmtheory.estimand import Point
from dmtheory.problems.set_functions import SampleMean
from dmtheory.theory import exhaustive
from dmtheory.theory.closed_forms import sample_mean_ratio
from validation.claim import Claim, Entry, Evidence, exact_part
from validation.claims import matched_derivative
from validation.claims.exact import exact_attribution, sample_mean_derivative
from validation.laboratory import Laboratory
from validation.statistics.median_slope import median_slope
from validation.statistics.relate import relate
from validation.verdicts.verdict import REFUTED, Part

EQUALITY = (0.9, 1.1)
DIRECTION = 0.8


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Estimate the datamodel and the derivative at w = 1, each on its own."""
    if entry.scale == "C":
        return _measure_exactly(laboratory, entry)
    slope = laboratory.derivative(entry.problem, at=1.0)
    datamodel = laboratory.datamodel(entry.problem)
    references = {"derivative": slope}
    if datamodel.estimand.normalisation == "count":
        p = datamodel.estimand.point.level
        references["matched"] = laboratory.derivative(entry.problem, at=p)
    return Evidence(
        estimates={"datamodel": datamodel.restricted(train=slope.train_labels)},
        references=references,
        numbers={"delta": matched_derivative.tolerance(laboratory, entry)},
        blocked=laboratory.blocked(entry.problem),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """The slope is no 1, the direction is kept, and p times the slope is near 1."""
    datamodel = evidence.estimates["datamodel"]
    found = relate(datamodel, evidence.references["derivative"])
    parts = [
        Part(
            name="slope of beta on dF/dw(1)",
            statement="beta(1/2) = dF/dw at w = 1 would make it 1",
            interval=found.slope,
            tolerance=EQUALITY,
            expected=REFUTED,
        ),
        Part(
            name="direction kept",
            statement="the two are parallel: correlation, errors taken out, above .8",
            interval=found.disattenuated,
            tolerance=(DIRECTION, None),
            headline=False,
        ),
    ]
    if entry.scale == "C":
        ratio = sample_mean_ratio(datamodel.n_train, 0.5)
        error = abs(found.slope.value - ratio)
        return [
            *parts,
            exact_part(
                "closed form",
                f"the slope is {ratio:.5f}, as the closed form says",
                error,
                1e-10,
                headline=False,
            ),
        ]
    median = Part(
        name="slope of the median target",
        statement="no target counts for more than another; interval over models, "
        "examples and targets: would be 1",
        interval=median_slope(datamodel, evidence.references["derivative"]),
        tolerance=EQUALITY,
        expected=REFUTED,
        over="examples and targets",
    )
    delta = evidence.numbers["delta"]
    return [*parts, median, _what_holds_instead(evidence, found.slope, delta)]


def _what_holds_instead(evidence: Evidence, posted: Interval, delta: float) -> Part:
    """Return the part on the scale: 1/p if scale-free, else the matched point."""
    datamodel, near_one = evidence.estimates["datamodel"], (1 - delta, 1 + delta)
    if datamodel.estimand.normalisation == "sum":
        p = datamodel.estimand.point.level
        return Part(
            name="p times the slope",
            statement="scale-free training is off by 1/p: p·slope is near 1",
            interval=Interval(p * posted.value, p * posted.low, p * posted.high),
            tolerance=near_one,
            headline=False,
        )
    return Part(
        name="slope on dF/dw(p·1)",
        statement="divided by N as the post writes it: the matched point instead",
        interval=relate(datamodel, evidence.references["matched"]).slope,
        tolerance=near_one,
        headline=False,
    )


def _measure_exactly(laboratory: Laboratory, entry: Entry) -> Evidence:
    problem = laboratory.problem(entry.problem)
    assert isinstance(problem, SampleMean)
    table = exhaustive.tabulate(problem)
    return Evidence(
        estimates={
            "datamodel": exact_attribution(
                problem,
                exhaustive.population_regression(table, 0.5)[1],
                quantity="datamodel",
                point=Point("subsets", 0.5),
                method="population regression, by enumeration",
            )
        },
        references={"derivative": sample_mean_derivative(problem)},
    )


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    return evidence.estimates["datamodel"], evidence.references["derivative"]


CLAIM = Claim(
    id="posted-identity",
    title="The posted identity",
    statement=(
        "The optimal datamodel coefficient at p = 1/2 is the derivative of the "
        "expected output with respect to the example's weight at w = 1."
    ),
    source="The post, its theorem as written",
    expected=REFUTED,
    entries=(
        Entry(scale="C", problem="sample-mean"),
        Entry(scale="V", problem="breast-cancer-sum"),
        Entry(scale="V", problem="breast-cancer-count"),
        Entry(scale="V", problem="diabetes-sum"),
        Entry(scale="V", problem="diabetes-count"),
        Entry(scale="M", problem="digits-sum"),
        Entry(scale="M", problem="digits-count"),
        Entry(scale="M", problem="cancer-network-sum", suite="thorough"),
        Entry(scale="M", problem="cancer-network-count", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: the post"),
)

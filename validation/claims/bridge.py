"""beta(p) is the derivative averaged over subsets and over the example's own weight."""

from torch import Tensor

from dmtheory.agreement import statistics as st
from dmtheory.agreement.bootstrap import bootstrap
from dmtheory.agreement.statistics import Split
from dmtheory.attribution import Attribution
from dmtheory.estimand import Point
from dmtheory.theory import exhaustive
from validation.claim import Claim, Entry, Evidence, exact_part
from validation.claims.exact import exact_attribution, largest_error
from validation.laboratory import Laboratory
from validation.statistics.relate import relate
from validation.verdicts.verdict import SUPPORTED, Part

LEVELS = (0.3, 0.5)
EXACT = 1e-8
SLOPE = (0.95, 1.05)
CORRELATION = 0.97
RELATIVE_ERROR = 0.25


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Regress outputs on masks; average derivatives elsewhere."""
    if entry.scale == "C":
        return _measure_exactly(laboratory, entry)
    averaged = laboratory.averaged_derivative(entry.problem)
    datamodel = laboratory.datamodel(entry.problem)
    matched = laboratory.derivative(entry.problem, at=datamodel.estimand.point.level)
    return Evidence(
        estimates={"datamodel": datamodel},
        references={"averaged derivative": averaged, "matched derivative": matched},
        blocked=laboratory.blocked(entry.problem),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """The slope on the averaged derivative is 1, nearer than on the matched one."""
    if entry.scale == "C":
        return _judge_exactly(evidence)
    averaged = evidence.references["averaged derivative"]
    datamodel = evidence.estimates["datamodel"].restricted(averaged.train_labels)
    found = relate(datamodel, averaged)
    three = _on_common_examples(
        datamodel, averaged, evidence.references["matched derivative"]
    )
    nearer = bootstrap(three, _gain)["gain"]
    return [
        Part(
            name="slope of beta on the averaged derivative",
            statement="beta(p) = E_S ∫ g_i(1_{S-i} + t e_i) dt makes it 1",
            interval=found.slope,
            tolerance=SLOPE,
        ),
        Part(
            name="correlation",
            statement="errors taken out, at least .97",
            interval=found.disattenuated,
            tolerance=(CORRELATION, None),
        ),
        Part(
            name="relative error",
            statement="norm-wise, errors taken out, at most .25",
            interval=found.corrected_relative_error,
            tolerance=(None, RELATIVE_ERROR),
        ),
        Part(
            name="nearer 1 than the matched derivative",
            statement="|slope on dF/dw(p·1) - 1| - |slope on the average - 1| above 0",
            interval=nearer,
            tolerance=(0.0, None),
        ),
    ]


def _on_common_examples(*attributions: Attribution) -> list[Attribution]:
    """Restrict to the examples that all have; draws of coordinates are nested."""
    fewest = min((a.train_labels for a in attributions), key=len)
    return [a.restricted(fewest) for a in attributions]


def _gain(splits: list[Split]) -> dict[str, Tensor]:
    beta, averaged, matched = splits

    def gap(reference: Split) -> Tensor:
        return (st.errors_in_variables_slope(beta, reference) - 1).abs()

    return {"gain": gap(matched) - gap(averaged)}


def _measure_exactly(laboratory: Laboratory, entry: Entry) -> Evidence:
    problem = laboratory.problem(entry.problem)
    table = exhaustive.tabulate(problem)
    estimates, references = {}, {}
    for p in LEVELS:
        estimates[f"datamodel {p}"] = exact_attribution(
            problem,
            exhaustive.population_regression(table, p)[1],
            quantity="datamodel",
            point=Point("subsets", p),
            method="population regression, by enumeration",
        )
        references[f"average {p}"] = exact_attribution(
            problem,
            exhaustive.path_averaged_derivative(problem, p),
            quantity="response derivative",
            point=Point("average", p),
            method="all subsets, 100 quadrature nodes along the own weight",
        )
    return Evidence(estimates=estimates, references=references)


def _judge_exactly(evidence: Evidence) -> list[Part]:
    return [
        exact_part(
            f"the bridge, p = {p}",
            "beta(p) = E_S ∫ g_i(1_{S-i} + t e_i) dt",
            largest_error(
                evidence.estimates[f"datamodel {p}"],
                evidence.references[f"average {p}"],
            ),
            EXACT,
        )
        for p in LEVELS
    ]


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    if "average 0.5" in evidence.references:
        return evidence.estimates["datamodel 0.5"], evidence.references["average 0.5"]
    averaged = evidence.references["averaged derivative"]
    return evidence.estimates["datamodel"].restricted(averaged.train_labels), averaged


CLAIM = Claim(
    id="bridge",
    title="The bridge",
    statement=(
        "A datamodel coefficient is exactly the response derivative averaged over "
        "random subsets and over the example's own weight from 0 to 1."
    ),
    source="Theory 2.2",
    expected=SUPPORTED,
    entries=(
        Entry(scale="C", problem="tiny-ridge-sum"),
        Entry(scale="C", problem="tiny-ridge-count"),
        Entry(scale="V", problem="breast-cancer-sum"),
        Entry(scale="V", problem="diabetes-sum"),
        Entry(scale="V", problem="breast-cancer-count", suite="thorough"),
        Entry(scale="V", problem="diabetes-count", suite="thorough"),
        Entry(scale="M", problem="digits-sum"),
        Entry(scale="M", problem="digits-count", suite="thorough"),
        Entry(scale="M", problem="cancer-network-sum", suite="thorough"),
        Entry(scale="M", problem="cancer-network-count", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: the bridge"),
)

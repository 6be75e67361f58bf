"""Retraining on subsets cannot see the derivative: two responses with one datamodel."""

from dmtheory.attribution import Attribution
from dmtheory.derivatives.differences.finite_difference import FiniteDifference
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.estimand import Point
from dmtheory.problems.set_functions import Bent
from dmtheory.theory import exhaustive
from validation.claim import Claim, Entry, Evidence, exact_part
from validation.claims.exact import exact_attribution
from validation.laboratory import Laboratory
from validation.verdicts.verdict import SUPPORTED, Part

LEVELS = (0.2, 0.5, 0.8)
BEND = 0.7
SAME = 1e-12
SHIFTED = 1e-8


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Enumerate both responses' datamodels and difference both at w = 1."""
    base = laboratory.problem(entry.problem)
    bent = Bent(base=base, bend=BEND)
    estimates: dict[str, Attribution] = {}
    references: dict[str, Attribution] = {}
    # Central differences have no error on the bend, and the same on the rest.
    method = FiniteDifference(step=0.1)
    for problem, side in ((bent, estimates), (base, references)):
        table = exhaustive.tabulate(problem)
        for p in LEVELS:
            side[f"datamodel {p}"] = exact_attribution(
                base,
                exhaustive.population_regression(table, p)[1],
                quantity="datamodel",
                point=Point("subsets", p),
                method="population regression, by enumeration",
            )
        side["derivative"] = response_derivative(problem, method)
    return Evidence(estimates=estimates, references=references)


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """The datamodels are one; the derivatives differ by the bend."""

    def gap(name: str, shift: float) -> float:
        pair = evidence.estimates[name].scores, evidence.references[name].scores
        return (pair[0] - pair[1] - shift).abs().max().item()

    return [
        exact_part(
            "the datamodels are the same",
            "beta(p) of F and of F + c sum_i w_i (1 - w_i), p in {.2, .5, .8}",
            max(gap(f"datamodel {p}", 0.0) for p in LEVELS),
            SAME,
        ),
        exact_part(
            "the derivatives are not",
            f"dF/dw at w = 1 falls by c = {BEND}",
            gap("derivative", -BEND),
            SHIFTED,
        ),
    ]


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    return evidence.estimates["datamodel 0.5"], evidence.references["datamodel 0.5"]


CLAIM = Claim(
    id="interior-undetermined",
    title="Subsets do not determine the derivative",
    statement=(
        "A change of the response between the vertices moves dF/dw at w = 1 and no "
        "datamodel: so no theorem about any response can make one of the other."
    ),
    source="Theory 2.5",
    expected=SUPPORTED,
    entries=(
        Entry(scale="C", problem="tiny-ridge-sum"),
        Entry(scale="C", problem="random-functions"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: the same datamodel"),
)

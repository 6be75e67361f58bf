"""Where the 1/N belongs: removal is w_i from 1 to 0, or eps = -1/N."""

from dataclasses import replace

from dmtheory.attribution import Attribution
from dmtheory.problems.linear import LeastSquares
from validation.claim import Claim, Entry, Evidence, exact_part
from validation.claims.convex_influence import leverages
from validation.claims.exact import norm_wise_error
from validation.laboratory import Laboratory
from validation.statistics.relate import relate
from validation.verdicts.verdict import REFUTED, Part

POSTED = (0.9, 1.1)
# Removing a whole example is no small step: its slope on the derivative is 1 up to
# terms of order leverage. What is decided here is 1 against N; a network's removals
# are further from first order (slopes near 1.2 over many seeds), so more is allowed.
FIRST_ORDER = {"V": 0.25, "M": 0.35}
EXACT = 1e-10


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Retrain without each example; differentiate at w = 1."""
    slope = laboratory.derivative(entry.problem, at=1.0)
    if entry.scale == "C":
        slope = laboratory.influence(entry.problem, at=1.0)
    removal = laboratory.leave_one_out(entry.problem)
    return Evidence(
        estimates={"leave one out": removal},
        references={"derivative": slope, **_leverages(laboratory, entry, slope)},
        blocked=laboratory.blocked(entry.problem),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """The posted slope is N, not 1; with dF/deps it is 1."""
    removal = evidence.estimates["leave one out"]
    slope = evidence.references["derivative"]
    posted = relate(removal, slope.scaled(1 / slope.n_train)).slope
    headline = Part(
        name="slope of the removal on (1/N) dF/dw",
        statement="F(D-i) = F(D) - (1/N) dF/dw_i would make it 1",
        interval=posted,
        tolerance=POSTED,
        expected=REFUTED,
    )
    if entry.scale == "C":
        exact = evidence.references["leverage-corrected"].scores
        correct = exact_part(
            "exact removal",
            "least squares: F(D) - F(D-i) = (dF/dw_i) / (1 - h_i), no 1/N",
            norm_wise_error(removal.scores, exact),
            EXACT,
            headline=False,
        )
        return [headline, correct]
    return [
        headline,
        _judge_first_order(removal, slope, FIRST_ORDER[entry.scale]),
    ]


def _judge_first_order(
    removal: Attribution, slope: Attribution, allowed: float
) -> Part:
    """Return the part that puts the 1/N where it belongs.

    dF/deps = N dF/dw is the same derivative in another unit, so this slope is the
    posted one over N: it decides that the post is off by N, not by another factor.
    """
    n_train = slope.n_train
    # eps = -1/N removes: F(D) - F(D-i) ~ (1/N) dF/deps_i, with dF/deps = N dF/dw.
    epsilon = slope.in_unit("per_epsilon")
    predicted = replace(
        epsilon.scaled(1 / n_train), estimand=epsilon.estimand.in_unit("per_weight")
    )
    return Part(
        name="slope of the removal on (1/N) dF/deps",
        statement="F(D-i) ~ F(D) - (1/N) dF/deps_i, to first order: the post is off by "
        f"N = {n_train}",
        interval=relate(removal, predicted).slope,
        tolerance=(1 - allowed, 1 + allowed),
        headline=False,
    )


def _leverages(
    laboratory: Laboratory, entry: Entry, slope: Attribution
) -> dict[str, Attribution]:
    problem = laboratory.problem(entry.problem)
    if not isinstance(problem, LeastSquares) or problem.ridge > 0:
        return {}
    corrected = slope.scores / (1 - leverages(problem.data.x_train))[:, None]
    return {
        "leverage-corrected": replace(
            slope, scores=corrected, method=f"{slope.method}, over 1 - leverage"
        )
    }


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    return evidence.estimates["leave one out"], evidence.references["derivative"]


CLAIM = Claim(
    id="one-over-n",
    title="The 1/N",
    statement=(
        "Leaving out an example changes the output by (1/N) times the derivative with "
        "respect to its weight: F(D-i) = F(D) - (1/N) dF/dw_i."
    ),
    source="The post, its Taylor formula; theory 2.12",
    expected=REFUTED,
    entries=(
        Entry(scale="C", problem="tiny-least-squares"),
        Entry(scale="V", problem="breast-cancer-sum"),
        Entry(scale="V", problem="diabetes-sum"),
        Entry(scale="M", problem="digits-sum"),
        Entry(scale="M", problem="digits-count", suite="thorough"),
        Entry(scale="M", problem="cancer-network-sum", suite="thorough"),
        Entry(scale="M", problem="cancer-network-count", suite="thorough"),
        Entry(scale="V", problem="breast-cancer-count", suite="thorough"),
        Entry(scale="V", problem="diabetes-count", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda e: (
        1 / e.references["derivative"].n_train,
        "slope 1/N: the post",
    ),
)

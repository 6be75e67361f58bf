"""Leave-one-out is the end of the datamodels, and Shapley values are their mean."""

from math import log

import numpy as np
import torch

from dmtheory.agreement.bootstrap import Interval
from dmtheory.attribution import Attribution
from dmtheory.estimand import Point
from dmtheory.problems.base import Problem
from dmtheory.theory import exhaustive
from dmtheory.theory.games import leave_one_out_values, shapley_values
from validation.claim import Claim, Entry, Evidence, exact_part
from validation.claims.exact import exact_attribution, largest_error
from validation.laboratory import Laboratory
from validation.verdicts.verdict import SUPPORTED, Part

# Shares 1 - p of left-out examples, on which the error is proportional.
LEFT_OUT = (1e-2, 1e-3)
EXPONENT = (0.9, 1.1)
TOLERANCE = 1e-10


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Enumerate the datamodels near p = 1, and average them over p."""
    problem = laboratory.problem(entry.problem)
    table = exhaustive.tabulate(problem)
    estimates = {
        f"datamodel {share}": _datamodel(
            problem, exhaustive.population_regression(table, 1 - share)[1], 1 - share
        )
        for share in LEFT_OUT
    }
    # beta_i(p) is a polynomial of degree N - 1 in p, for which this rule is exact.
    nodes, weights = np.polynomial.legendre.leggauss(problem.description.n_train)
    mean = torch.zeros_like(estimates[f"datamodel {LEFT_OUT[0]}"].scores)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        mean += weight * exhaustive.population_regression(table, float(node))[1]
    estimates["mean over p"] = _datamodel(problem, mean, 0.5)
    references = {
        "leave-one-out": exact_attribution(
            problem,
            leave_one_out_values(table),
            quantity="leave-one-out",
            point=Point("weights", 1.0),
            method="F(D) - F(D - i)",
        ),
        "Shapley": _datamodel(problem, shapley_values(table), 0.5),
    }
    return Evidence(estimates=estimates, references=references)


def _datamodel(problem: Problem, scores: torch.Tensor, p: float) -> Attribution:
    return exact_attribution(
        problem,
        scores,
        quantity="datamodel",
        point=Point("subsets", p),
        method="by enumeration",
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """The error falls as 1 - p, and the mean is the Shapley value."""
    end = evidence.references["leave-one-out"]
    errors = [
        largest_error(evidence.estimates[f"datamodel {share}"], end)
        for share in LEFT_OUT
    ]
    exponent = log(errors[0] / errors[1]) / log(LEFT_OUT[0] / LEFT_OUT[1])
    return [
        Part(
            name="tends to leave-one-out",
            statement="exponent of |beta(p) - LOO| against 1 - p, about 1",
            interval=Interval.exact(exponent),
            tolerance=EXPONENT,
        ),
        exact_part(
            "Shapley",
            "the integral of beta_i(p) over p in (0, 1)",
            largest_error(
                evidence.estimates["mean over p"], evidence.references["Shapley"]
            ),
            TOLERANCE,
        ),
    ]


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    name = f"datamodel {LEFT_OUT[0]}"
    return evidence.estimates[name], evidence.references["leave-one-out"]


CLAIM = Claim(
    id="leave-one-out-limit",
    title="Leave-one-out is the datamodel at p = 1",
    statement=(
        "As p tends to 1 the datamodel tends to F(D) - F(D - i) with an error "
        "proportional to 1 - p, and its mean over all p is the Shapley value."
    ),
    source="Theory 2.4",
    expected=SUPPORTED,
    entries=(
        Entry(scale="C", problem="random-functions"),
        Entry(scale="C", problem="tiny-ridge-sum"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: the limit"),
)

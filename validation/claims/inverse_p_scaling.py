"""Scale-free training has dF/dw(c·1) = dF/dw(1)/c; `count` has a law of its own."""

from dataclasses import replace

import torch

from dmtheory.agreement.bootstrap import Interval
from dmtheory.attribution import Attribution
from dmtheory.derivatives.differences.finite_difference import FiniteDifference
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.influence.classical import influence
from dmtheory.problems.base import DifferentiableProblem, Problem
from dmtheory.problems.network import Network
from validation.claim import Claim, Entry, Evidence, exact_part
from validation.claims.exact import norm_wise_error
from validation.laboratory import Laboratory
from validation.verdicts.verdict import SUPPORTED, Part

# No power of two: at one, floating point makes scale-free laws true by itself.
LEVEL = 0.3
TOLERANCE = 1e-6
EULER_TOLERANCE = 1e-6
# Under `count` with a penalty the laws must fail by at least this much.
VISIBLE = 1e-2
# Networks are compared seed by seed, so few examples say as much as many.
NEURAL_COORDINATES = 24


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Differentiate at c·1 and at 1: by retraining, and for convex models by influence.

    Networks have no second route here; there both sides retrain with the same seeds,
    which checks the law of the training map but not the difference quotient.
    """
    name, problem = entry.problem, laboratory.problem(entry.problem)
    neural = entry.scale == "M"
    n = NEURAL_COORDINATES if neural else None
    at_one = (
        laboratory.derivative(name, at=1.0).restricted(_labels(laboratory, name, n))
        if neural
        else laboratory.influence(name, at=1.0)
    )
    references = {"at 1": at_one}
    if problem.description.normalisation == "count":
        references["rescaled"] = laboratory.made(
            ("rescaled", name), lambda: _rescaled(laboratory, entry, n)
        )
    return Evidence(
        estimates={"at c": laboratory.derivative(name, at=LEVEL, n=n)},
        references=references,
        numbers={"response": _change_with_scale(laboratory, problem)},
        blocked=laboratory.blocked(name),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Hold c dF/dw(c·1) against dF/dw(1), or against the rescaled procedure."""
    estimate = evidence.estimates["at c"]
    scaled = LEVEL * estimate.scores
    error = norm_wise_error(scaled, evidence.references["at 1"].scores)
    laws = [
        ("dF/dw(c·1) = dF/dw(1)/c", "norm-wise error", error, TOLERANCE),
        (
            "F(c·1) = F(1)",
            "largest change over the outputs' root mean square",
            evidence.numbers["response"],
            TOLERANCE,
        ),
    ]
    if len(estimate.train_labels) == estimate.n_train:
        total = estimate.scores.sum(0).abs() / estimate.scores.abs().sum(0)
        euler = ("sum_i w_i dF/dw_i = 0", "over the sum of sizes", total.max().item())
        laws.append((*euler, EULER_TOLERANCE))
    if "rescaled" not in evidence.references:
        return [
            exact_part(law, f"`sum`: {measured}", size, tolerance)
            for law, measured, size, tolerance in laws
        ]
    fails = [
        Part(
            name=f"`count` fails {law}",
            statement=f"{measured}, at least {VISIBLE}",
            interval=Interval.exact(size),
            tolerance=(VISIBLE, None),
        )
        for law, measured, size, _ in laws
    ]
    own = norm_wise_error(scaled, evidence.references["rescaled"].scores)
    return [
        *fails,
        exact_part(
            "`count` has its own law",
            "dF/dw(c·1; penalty) = dF/dw(1; penalty/c)/c (for SGD: rate times c)",
            own,
            TOLERANCE,
        ),
    ]


def _labels(laboratory: Laboratory, name: str, n: int | None) -> list[str]:
    labels = laboratory.problem(name).description.train_labels
    return [labels[i] for i in laboratory.coordinates(name, n)]


def _change_with_scale(laboratory: Laboratory, problem: Problem) -> float:
    """Return the largest |F(c·1) - F(1)| over the outputs' root mean square."""
    weights = torch.ones(2, problem.description.n_train, dtype=torch.float64)
    weights[0] *= LEVEL
    seed = laboratory.experiment_seed("derivative")
    light, full = problem.respond(weights, torch.tensor([seed, seed]))
    return ((light - full).abs().max() / full.square().mean().sqrt()).item()


def _rescaled(laboratory: Laboratory, entry: Entry, n: int | None) -> Attribution:
    """Return dF/dw(1) of the procedure that `count` at c·1 is equal to.

    J(.; c w) = c [data term + (penalty/c)], so minimisers agree, and SGD takes the
    same path with its rate times c.
    """
    name = entry.problem
    problem, setting = laboratory.problem(name), laboratory.settings[name]
    if not isinstance(problem, Network):
        lighter: DifferentiableProblem = replace(problem, ridge=problem.ridge / LEVEL)  # type: ignore
        return influence(lighter)
    training = replace(
        problem.training,
        weight_decay=problem.training.weight_decay / LEVEL,
        learning_rate=problem.training.learning_rate * LEVEL,
    )
    return response_derivative(
        replace(problem, training=training),
        FiniteDifference(step=setting.step, n_seeds=setting.n_seeds),
        at=1.0,
        coordinates=laboratory.coordinates(name, n),
        seed=laboratory.experiment_seed("derivative"),
        engine=laboratory.engine,
    )


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows: c·1 against what the law makes equal to it."""
    if "rescaled" in evidence.references:
        return evidence.estimates["at c"], evidence.references["rescaled"]
    return evidence.estimates["at c"], evidence.references["at 1"]


CLAIM = Claim(
    id="inverse-p-scaling",
    title="The factor 1/p",
    statement=(
        "For scale-free training (`sum`) dF/dw(c·1) = dF/dw(1)/c and sum_i w_i dF/dw_i "
        "= 0; `count` with a penalty fails both and obeys dF/dw(c·1; penalty) = "
        "dF/dw(1; penalty/c)/c."
    ),
    source="Theory 2.8",
    expected=SUPPORTED,
    entries=(
        Entry(scale="C", problem="tiny-ridge-sum"),
        Entry(scale="C", problem="tiny-ridge-count"),
        Entry(scale="V", problem="breast-cancer-sum"),
        Entry(scale="V", problem="breast-cancer-count"),
        Entry(scale="V", problem="diabetes-sum", suite="thorough"),
        Entry(scale="V", problem="diabetes-count", suite="thorough"),
        Entry(scale="M", problem="digits-sum"),
        Entry(scale="M", problem="digits-count"),
        Entry(scale="M", problem="cancer-network-sum", suite="thorough"),
        Entry(scale="M", problem="cancer-network-count", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1 / LEVEL, "slope 1/c: the law"),
)

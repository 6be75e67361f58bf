"""Scale-free training has dF/dw(c·1) = dF/dw(1)/c; `count` has a law of its own."""

from dataclasses import replace

import torch

from dmtheory.agreement.bootstrap import Interval
from dmtheory.attribution import Attribution
from dmtheory.derivatives.finite_difference import FiniteDifference
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.problems.base import Problem
from dmtheory.problems.network import Network
from validation.claim import Claim, Entry, Evidence, exact_part
from validation.claims.exact import norm_wise_error
from validation.laboratory import Laboratory
from validation.verdict import SUPPORTED, Part

LEVEL = 0.5
TOLERANCE = 1e-6
EULER_TOLERANCE = 1e-8
# Under `count` with a penalty the law must fail by at least this much.
VISIBLE = 1e-2


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Differentiate at c·1 and at 1 with the same seeds, and along w itself."""
    problem = laboratory.problem(entry.problem)
    references = {"at 1": laboratory.derivative(entry.problem, at=1.0)}
    if problem.description.normalisation == "count":
        references["rescaled"] = laboratory.made(
            ("rescaled", entry.problem), lambda: _rescaled(laboratory, entry.problem)
        )
    return Evidence(
        estimates={"at c": laboratory.derivative(entry.problem, at=LEVEL)},
        references=references,
        numbers={"euler": _euler_sum(laboratory, problem)},
        blocked=laboratory.blocked(entry.problem),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Hold c dF/dw(c·1) against dF/dw(1), or against the rescaled procedure."""
    scaled = LEVEL * evidence.estimates["at c"].scores
    error = norm_wise_error(scaled, evidence.references["at 1"].scores)
    euler = evidence.numbers["euler"]
    if "rescaled" not in evidence.references:
        return [
            exact_part(
                "inverse scaling",
                "`sum`: dF/dw(c·1) = dF/dw(1)/c, norm-wise error, the same seeds",
                error,
                TOLERANCE,
            ),
            exact_part(
                "Euler's identity",
                "sum_i w_i dF/dw_i = 0, over the output's root mean square",
                euler,
                EULER_TOLERANCE,
            ),
        ]
    law = norm_wise_error(scaled, evidence.references["rescaled"].scores)
    return [
        Part(
            name="`count` fails it",
            statement="norm-wise error of dF/dw(c·1) = dF/dw(1)/c, at least .01",
            interval=Interval.exact(error),
            tolerance=(VISIBLE, None),
        ),
        Part(
            name="`count` fails Euler's identity",
            statement="sum_i w_i dF/dw_i over the output's size, not 0",
            interval=Interval.exact(euler),
            tolerance=(EULER_TOLERANCE, None),
        ),
        exact_part(
            "`count` has its own law",
            "dF/dw(c·1; penalty) = dF/dw(1; penalty/c)/c (for SGD: rate times c)",
            law,
            TOLERANCE,
        ),
    ]


def _euler_sum(laboratory: Laboratory, problem: Problem) -> float:
    """Return the largest |dF/dlog c| at w = 1 over the outputs' root mean square.

    By the chain rule it is sum_i w_i dF/dw_i; two trainings with one seed give it.
    """
    step = 0.1
    n_train = problem.description.n_train
    weights = torch.ones(2, n_train, dtype=torch.float64)
    weights[0] += step
    weights[1] -= step
    seed = laboratory.experiment_seed("derivative")
    outputs = problem.respond(weights, torch.tensor([seed, seed]))
    slope = (outputs[0] - outputs[1]) / (2 * step)
    return (slope.abs().max() / outputs.square().mean().sqrt()).item()


def _rescaled(laboratory: Laboratory, name: str) -> Attribution:
    """Return dF/dw(1) of the procedure that `count` at c·1 is equal to.

    J(.; c w) = c [data term + (penalty/c)], so minimisers agree, and SGD takes the
    same path with its rate times c.
    """
    problem, setting = laboratory.problem(name), laboratory.settings[name]
    if isinstance(problem, Network):
        training = replace(
            problem.training,
            weight_decay=problem.training.weight_decay / LEVEL,
            learning_rate=problem.training.learning_rate * LEVEL,
        )
        equal: Problem = replace(problem, training=training)
    else:
        equal = replace(problem, ridge=problem.ridge / LEVEL)  # type: ignore
    return response_derivative(
        equal,
        FiniteDifference(step=setting.step, n_seeds=setting.n_seeds),
        at=1.0,
        coordinates=laboratory.coordinates(name, setting.n_coordinates),
        seed=laboratory.experiment_seed("derivative"),
        engine=laboratory.engine,
    )


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
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
        Entry(scale="M", problem="digits-sum"),
        Entry(scale="M", problem="digits-count"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1 / LEVEL, "slope 1/c: scale-free"),
)

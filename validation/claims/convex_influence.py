"""Converged convex training: influence, with the right divisor, is dF/dw."""

from dataclasses import replace

import torch

from dmtheory.attribution import Attribution
from dmtheory.problems.linear import LeastSquares
from validation.claim import Claim, Entry, Evidence, exact_part
from validation.claims.exact import norm_wise_error
from validation.laboratory import Laboratory
from validation.verdicts.verdict import SUPPORTED, Part

LEVELS = (1.0, 0.5)
TOLERANCE = 1e-6
EXACT = 1e-10


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Take influence from one trained model, the derivative from retraining."""
    name = entry.problem
    return Evidence(
        estimates={f"at {c}": laboratory.influence(name, at=c) for c in LEVELS},
        references={f"at {c}": laboratory.derivative(name, at=c) for c in LEVELS}
        | _removals(laboratory, name),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Compare norm-wise, at w = 1 and at w = .5·1."""
    parts = [
        exact_part(
            f"w = {c:g}·1",
            "influence per weight = dF/dw by finite differences, norm-wise",
            norm_wise_error(
                evidence.estimates[f"at {c}"].scores,
                evidence.references[f"at {c}"].scores,
            ),
            TOLERANCE,
        )
        for c in LEVELS
    ]
    if "removal" in evidence.references:
        leverage = evidence.references["removal"]
        slope = evidence.estimates["at 1.0"].scores
        parts.append(
            exact_part(
                "leave one out",
                "least squares: (1 - h_i) [F(D) - F(D-i)] = influence",
                norm_wise_error(slope, leverage.scores),
                EXACT,
            )
        )
    return parts


def _removals(laboratory: Laboratory, name: str) -> dict[str, Attribution]:
    """Return leave-one-out retraining times 1 - h, for unpenalised least squares."""
    problem = laboratory.problem(name)
    if not isinstance(problem, LeastSquares) or problem.ridge > 0:
        return {}
    removal = laboratory.leave_one_out(name)
    slack = (1 - leverages(problem.data.x_train))[:, None]
    return {
        "removal": replace(
            removal,
            scores=removal.scores * slack,
            method=f"{removal.method}, times 1 - leverage",
        )
    }


def leverages(x: torch.Tensor) -> torch.Tensor:
    """Return h_i = x_i' (X'X)^-1 x_i, the diagonal of the hat matrix."""
    return torch.linalg.qr(x).Q.square().sum(1)


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    return evidence.estimates["at 0.5"], evidence.references["at 0.5"]


CLAIM = Claim(
    id="convex-influence",
    title="Influence on convex problems",
    statement=(
        "For converged convex training classical influence without damping is the "
        "response derivative: tau/N under `count`, (tau - sum_j w_j tau_j/W)/W under "
        "`sum`."
    ),
    source="Theory 3.4 and 2.9; Koh and Liang 2017",
    expected=SUPPORTED,
    entries=(
        Entry(scale="C", problem="tiny-least-squares"),
        Entry(scale="C", problem="tiny-ridge-sum"),
        Entry(scale="C", problem="tiny-ridge-count"),
        Entry(scale="V", problem="breast-cancer-sum"),
        Entry(scale="V", problem="breast-cancer-count"),
        Entry(scale="V", problem="diabetes-sum"),
        Entry(scale="V", problem="diabetes-count"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: equality"),
)

"""Differentiating through training tends to influence as training converges."""

from dataclasses import replace

import torch
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.attribution import Attribution
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.derivatives.through_training.pathwise import Pathwise
from dmtheory.influence.classical import influence
from dmtheory.problems.network import Network
from validation.claim import Claim, Entry, Evidence
from validation.claims.exact import norm_wise_error
from validation.laboratory import Laboratory
from validation.made_up.own_streams import own_seed
from validation.statistics.replicates import mean_of
from validation.verdicts.verdict import SUPPORTED, Part

# Full-batch steps of the trainings that are differentiated; influence is taken after
# the problem's own number, where the gradient has vanished.
STEPS = {"cancer-full-batch": (10, 160), "digits-full-batch": (100, 1600)}
CONVERGED = {"V": 0.02, "M": 0.1}
# Each is a training with an optimum of its own.
SEEDS = 4
# Gradient descent converges geometrically, so a distance is a number of orders.
FALLS = 5.0


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Differentiate short and long trainings; take influence at each one's optimum."""
    problem = laboratory.problem(entry.problem)
    assert isinstance(problem, Network)
    seed = own_seed(laboratory, "unrolled")
    estimates = {
        f"{steps} steps": laboratory.made(
            ("unrolled", entry.problem, steps),
            lambda steps=steps: response_derivative(  # type: ignore[misc]
                replace(problem, training=replace(problem.training, epochs=steps)),
                Pathwise(n_seeds=SEEDS),
                seed=seed,
                engine=laboratory.engine,
            ),
        )
        for steps in STEPS[entry.problem]
    }
    reference = laboratory.made(
        ("at the optimum", entry.problem),
        lambda: influence(problem, n_seeds=SEEDS, seed=seed),
    )
    return Evidence(
        estimates=estimates,
        references={"influence": reference},
        blocked=laboratory.blocked(entry.problem),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """The gap to influence falls with the steps, and is small after many."""
    truth = evidence.references["influence"]
    few, many = (
        _distances(evidence.estimates[f"{steps} steps"], truth)
        for steps in STEPS[entry.problem]
    )
    least, most = STEPS[entry.problem]
    return [
        Part(
            name=f"after {most} full-batch steps",
            statement="largest relative distance of a target's derivative from "
            "influence with the exact Hessian, no damping; geometric mean over seeds",
            interval=_geometric_mean(many),
            tolerance=(0.0, CONVERGED[entry.scale]),
        ),
        Part(
            name="converges",
            statement=f"that distance after {least} steps over it after {most}: "
            f"> {FALLS:g}",
            interval=_geometric_mean(few / many),
            tolerance=(FALLS, None),
        ),
    ]


def _distances(estimate: Attribution, truth: Attribution) -> Tensor:
    """Return the norm-wise error of every seed, from influence at its own optimum."""
    assert estimate.units is not None
    assert truth.units is not None
    errors = [
        norm_wise_error(ours, theirs)
        for ours, theirs in zip(estimate.units, truth.units, strict=True)
    ]
    return torch.tensor(errors, dtype=torch.float64)


def _geometric_mean(values: Tensor) -> Interval:
    """Return it with Student's interval of the mean logarithm."""
    logs = mean_of(values.log())
    ends = torch.tensor([logs.value, logs.low, logs.high], dtype=torch.float64)
    return Interval(*ends.exp().tolist())


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    *_, last = evidence.estimates.values()
    return last, evidence.references["influence"]


CLAIM = Claim(
    id="unrolled-to-influence",
    title="Through training, in the end, is influence",
    statement=(
        "For full-batch training the exact derivative through the training steps tends "
        "to classical influence, exact Hessian and no damping, as training converges."
    ),
    source="Theory 3.4; Bae et al. 2022",
    expected=SUPPORTED,
    entries=(
        Entry(scale="V", problem="cancer-full-batch", suite="thorough"),
        Entry(scale="M", problem="digits-full-batch", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: converged"),
)

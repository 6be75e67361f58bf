"""beta(p) is approximately the derivative at the matched point w = p·1."""

from dataclasses import replace
from functools import partial
from math import log

import torch
from torch import Tensor

from dmtheory.agreement import statistics as st
from dmtheory.agreement.bootstrap import Interval, bootstrap
from dmtheory.agreement.statistics import Split
from dmtheory.attribution import Attribution
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.derivatives.differences.finite_difference import FiniteDifference
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.derivatives.through_training.pathwise import Pathwise
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.influence.curvature import effective_parameters
from dmtheory.problems.base import DifferentiableProblem, Problem
from dmtheory.responses.collect import collect
from dmtheory.theory.closed_forms import matched_slope_tolerance
from dmtheory.theory.expansions import second_order_terms
from validation.claim import Claim, Entry, Evidence
from validation.laboratory import Laboratory
from validation.made_up.own_streams import own_seed
from validation.problems import resized
from validation.statistics.relate import relate
from validation.verdicts.verdict import SUPPORTED, Part

NEURAL_TOLERANCE = 0.25
CORRELATION = 0.97
EXPONENTS = {"V": ("about -1", (-1.4, -0.6)), "M": ("below 0", (None, 0.0))}
# Training sets for the decay, each half the next; the last is the suite's problem.
SIZES = {"breast-cancer-sum": (50, 100, 200, 400), "diabetes-sum": (44, 88, 176, 352)}
MODELS_A_SIZE = 4000
# A network's too, with as many steps at each size.
NEURAL_SIZES = {"cancer-network-sum": (100, 150, 300)}
NEURAL_SEEDS = 20


def tolerance(laboratory: Laboratory, entry: Entry) -> float:
    """Return delta: 2d/(pN) + .01 (at most .15) for convex problems, .25 for networks.

    d is the effective number of parameters at w = p·1.
    """
    if entry.scale == "M":
        return NEURAL_TOLERANCE
    problem = laboratory.problem(entry.problem)
    assert isinstance(problem, DifferentiableProblem)
    p = laboratory.settings[entry.problem].p
    effective = effective_parameters(problem, at=p)
    return matched_slope_tolerance(effective, p, problem.description.n_train)


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Estimate both sides; where problems come in sizes at several N."""
    datamodel = laboratory.datamodel(entry.problem)
    p = datamodel.estimand.point.level
    slope = laboratory.derivative(entry.problem, at=p)
    estimates = {"datamodel": datamodel.restricted(slope.train_labels)}
    references = {"derivative": slope}
    for place, n_train in enumerate(_sizes(entry.problem)[:-1]):
        problem = resized(entry.problem, n_train)
        key = (entry.problem, n_train)
        estimates[f"datamodel {n_train}"] = laboratory.made(
            ("sized datamodel", *key),
            partial(_datamodel, laboratory, problem, p, place),
        )
        references[f"derivative {n_train}"] = laboratory.made(
            ("sized derivative", *key),
            partial(_derivative, laboratory, problem, p, place),
        )
    if entry.problem in SIZES:
        references["expansion"] = _expanded(laboratory, entry, slope, p)
    return Evidence(
        estimates=estimates,
        references=references,
        numbers={"delta": tolerance(laboratory, entry)},
        blocked=laboratory.blocked(entry.problem),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """The slope is near 1, the direction is the same, and the gap decays with N."""
    datamodel, slope = (
        evidence.estimates["datamodel"],
        evidence.references["derivative"],
    )
    delta = evidence.numbers["delta"]
    found = relate(datamodel, slope)
    parts = [
        Part(
            name="slope of beta on dF/dw(p·1)",
            statement=f"beta(p) ~ dF/dw at w = p·1: 1 within {delta:.3f}",
            interval=found.slope,
            tolerance=(1 - delta, 1 + delta),
        ),
        Part(
            name="correlation",
            statement="errors taken out, at least .97",
            interval=found.disattenuated,
            tolerance=(CORRELATION, None),
        ),
    ]
    sizes = _sizes(entry.problem)
    if sizes:
        about, exponent = EXPONENTS[entry.scale]
        parts.append(
            Part(
                name="decay with N",
                statement=f"exponent of the relative error against N, {about}",
                interval=_exponent(evidence, sizes),
                tolerance=exponent,
            )
        )
    if "expansion" in evidence.references:
        parts.append(
            Part(
                name="the next terms",
                statement="fall of the squared relative error when they are added",
                interval=_gain_of_terms(evidence),
                tolerance=(0.0, None),
            )
        )
    return parts


def _sizes(name: str) -> tuple[int, ...]:
    """Return the training sets on which the gap is measured; none where at one N."""
    return (SIZES | NEURAL_SIZES).get(name, ())


def _exponent(evidence: Evidence, sizes: tuple[int, ...]) -> Interval:
    names = [f" {n}" for n in sizes[:-1]] + [""]
    pairs = [
        attribution
        for name in names
        for attribution in (
            evidence.estimates[f"datamodel{name}"],
            evidence.references[f"derivative{name}"],
        )
    ]
    x = torch.tensor([log(n) for n in sizes], dtype=torch.float64)
    x = (x - x.mean()) / (x - x.mean()).square().sum()

    def statistic(splits: list[Split]) -> dict[str, Tensor]:
        errors = [
            st.corrected_relative_error(a, b)
            for a, b in zip(splits[::2], splits[1::2], strict=True)
        ]
        logs = torch.stack(errors).clamp_min(1e-12).log()
        return {"exponent": torch.einsum("n,nd->d", x, logs)}

    return bootstrap(pairs, statistic)["exponent"]


def _gain_of_terms(evidence: Evidence) -> Interval:
    """Return how much the squared relative error falls when the terms are added.

    Squares of independent halves' gaps are unbiased; the errors themselves are not.
    """

    def statistic(splits: list[Split]) -> dict[str, Tensor]:
        beta, plain, expanded = splits
        before = st.squared_relative_gap(beta, plain)
        return {"gain": before - st.squared_relative_gap(beta, expanded)}

    sides = evidence.references["derivative"], evidence.references["expansion"]
    return bootstrap([evidence.estimates["datamodel"], *sides], statistic)["gain"]


def _datamodel(
    laboratory: Laboratory, problem: Problem, p: float, place: int
) -> Attribution:
    # Masks of one seed are nested over N; the exponent takes sizes as independent.
    seed = own_seed(laboratory, "masks of a size", place)
    law = Bernoulli(p=p, n_models=MODELS_A_SIZE, seed=seed)
    return fit_datamodel(collect(problem, law, engine=laboratory.engine))


def _derivative(
    laboratory: Laboratory, problem: Problem, p: float, place: int
) -> Attribution:
    if problem.description.deterministic:
        return response_derivative(problem, FiniteDifference(step=3e-4 * p), at=p)
    seed = own_seed(laboratory, "derivative of a size", place)
    return response_derivative(problem, Pathwise(n_seeds=NEURAL_SEEDS), at=p, seed=seed)


def _expanded(
    laboratory: Laboratory, entry: Entry, slope: Attribution, p: float
) -> Attribution:
    problem = laboratory.problem(entry.problem)
    assert isinstance(problem, DifferentiableProblem)
    return replace(
        slope,
        scores=slope.scores + second_order_terms(problem, p),
        n_models=2 * problem.description.n_train + 1,
        method=f"{slope.method}, plus the second-order terms of its expansion",
    )


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    return evidence.estimates["datamodel"], evidence.references["derivative"]


CLAIM = Claim(
    id="matched-derivative",
    title="The matched derivative",
    statement=(
        "A datamodel coefficient at p is approximately the response derivative at the "
        "matched point w = p·1, with a gap of order d/(pN)."
    ),
    source="Theory 3.1",
    expected=SUPPORTED,
    entries=(
        Entry(scale="V", problem="breast-cancer-sum"),
        Entry(scale="V", problem="diabetes-sum"),
        Entry(scale="M", problem="digits-sum"),
        Entry(scale="M", problem="digits-count"),
        Entry(scale="M", problem="cancer-network-sum", suite="thorough"),
        Entry(scale="M", problem="cancer-network-count", suite="thorough"),
        Entry(scale="V", problem="breast-cancer-count", suite="thorough"),
        Entry(scale="V", problem="diabetes-count", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: the matched point"),
)

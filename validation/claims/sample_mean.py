"""The sample mean: closed-form ratios of beta to the derivative."""

from dmtheory.attribution import Attribution
from dmtheory.estimand import Point
from dmtheory.problems.set_functions import SampleMean
from dmtheory.theory import exhaustive
from dmtheory.theory.closed_forms import sample_mean_ratio
from validation.claim import Claim, Entry, Evidence, exact_part
from validation.claims.exact import exact_attribution, sample_mean_derivative
from validation.laboratory import Laboratory
from validation.verdicts.verdict import SUPPORTED, Part

LEVELS = (0.2, 0.5, 0.8)
SIZES = (3, 6, 9, 11)
TOLERANCE = 1e-10


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Enumerate the datamodels; take the derivative from its formula at w = 1."""
    problem = laboratory.problem(entry.problem)
    table = exhaustive.tabulate(problem)
    n_train = problem.description.n_train
    estimates = {
        f"p = {p}": exact_attribution(
            problem,
            exhaustive.population_regression(table, p)[1],
            quantity="datamodel",
            point=Point("subsets", p),
            method="population regression, by enumeration",
        )
        for p in LEVELS
    }
    for size in SIZES:
        estimates[f"k = {size}"] = exact_attribution(
            problem,
            exhaustive.fixed_size_datamodel(table, size),
            quantity="datamodel",
            point=Point("subsets", size / n_train),
            method=f"population regression over subsets of size {size}",
        )
    assert isinstance(problem, SampleMean)
    slope = sample_mean_derivative(problem)
    return Evidence(estimates=estimates, references={"derivative": slope})


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Hold every ratio against its closed form."""
    slope = evidence.references["derivative"]
    n_train = slope.n_train

    def error(name: str, ratio: float) -> float:
        gap = evidence.estimates[name].scores - ratio * slope.scores
        return (gap.abs().max() / slope.scores.abs().max()).item()

    return [
        exact_part(
            f"Bernoulli, p = {p}",
            "beta/g = N/(N-1) [(1-(1-p)^N)/p - (1-p)^(N-1)] = "
            f"{sample_mean_ratio(n_train, p):.5f}",
            error(f"p = {p}", sample_mean_ratio(n_train, p)),
            TOLERANCE,
        )
        for p in LEVELS
    ] + [
        exact_part(
            f"fixed size, k = {size}",
            f"beta/g = N/k = {n_train / size:.5f}",
            error(f"k = {size}", n_train / size),
            TOLERANCE,
        )
        for size in SIZES
    ]


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    return evidence.estimates["p = 0.5"], evidence.references["derivative"]


CLAIM = Claim(
    id="sample-mean",
    title="The sample mean in closed form",
    statement=(
        "For the sample mean the datamodel is the derivative at w = 1 times "
        "N/(N-1) [(1-(1-p)^N)/p - (1-p)^(N-1)] under Bernoulli(p), and times exactly "
        "N/k under subsets of size k."
    ),
    source="Theory 2.10",
    expected=SUPPORTED,
    entries=(Entry(scale="C", problem="sample-mean"),),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda e: (
        sample_mean_ratio(e.references["derivative"].n_train, 0.5),
        "closed form",
    ),
)

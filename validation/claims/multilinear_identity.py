"""beta(p) is the gradient of the multilinear extension, for any function of subsets."""

import torch

from dmtheory.attribution import Attribution
from dmtheory.estimand import Point
from dmtheory.theory import exhaustive
from validation.claim import Claim, Entry, Evidence, exact_part
from validation.claims.exact import exact_attribution, largest_error
from validation.laboratory import Laboratory
from validation.verdicts.verdict import SUPPORTED, Part

LEVELS = (0.2, 0.5, 0.8)
TOLERANCE = 1e-10


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Enumerate all subsets and compute each side by its own route."""
    problem = laboratory.problem(entry.problem)
    table = exhaustive.tabulate(problem)
    estimates: dict[str, Attribution] = {}
    references: dict[str, Attribution] = {}
    numbers: dict[str, float] = {}
    for p in LEVELS:
        at = torch.full((problem.description.n_train,), p, dtype=torch.float64)
        routes = {
            "regression": exhaustive.population_regression(table, p)[1],
            "gradient": exhaustive.multilinear_gradient(table, at),
            "Banzhaf": exhaustive.weighted_banzhaf(table, p),
            "Fourier": exhaustive.fourier_coefficients(table, p) / (p * (1 - p)) ** 0.5,
        }
        for name, scores in routes.items():
            side = estimates if name == "regression" else references
            side[f"{name} {p}"] = exact_attribution(
                problem,
                scores,
                quantity="response derivative" if name == "gradient" else "datamodel",
                point=Point("weights" if name == "gradient" else "subsets", p),
                method=f"{name}, by enumeration",
            )
        share = exhaustive.variance_share_of_degree_one(table, p)
        gap = exhaustive.population_r2(table, p) - share
        numbers[f"R2 {p}"] = gap.abs().max().item()
    return Evidence(estimates=estimates, references=references, numbers=numbers)


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Compare the regression with every other route."""

    def worst(route: str) -> float:
        return max(
            largest_error(
                evidence.estimates[f"regression {p}"],
                evidence.references[f"{route} {p}"],
            )
            for p in LEVELS
        )

    return [
        exact_part(
            "multilinear gradient",
            "beta(p) = dF~/dw at w = p·1, p in {.2, .5, .8}",
            worst("gradient"),
            TOLERANCE,
        ),
        exact_part(
            "weighted Banzhaf",
            "beta_i(p) = E[F(S + i) - F(S - i)]",
            worst("Banzhaf"),
            TOLERANCE,
        ),
        exact_part(
            "Fourier",
            "beta_i(p) = Fhat(i) / sqrt(p(1-p))",
            worst("Fourier"),
            TOLERANCE,
        ),
        exact_part(
            "R squared",
            "R² of the best linear datamodel = degree-1 share of the variance",
            max(evidence.numbers[f"R2 {p}"] for p in LEVELS),
            TOLERANCE,
        ),
    ]


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    return evidence.estimates["regression 0.5"], evidence.references["gradient 0.5"]


CLAIM = Claim(
    id="multilinear-identity",
    title="A datamodel is the gradient of the multilinear extension",
    statement=(
        "For any function of subsets the optimal linear datamodel is the gradient of "
        "its multilinear extension at w = p·1, the weighted Banzhaf value, and the "
        "degree-1 Fourier coefficients over sqrt(p(1-p))."
    ),
    source="Theory 2.1 and 2.3; Li and Yu 2024, proposition 5; Saunshi et al. 2023",
    expected=SUPPORTED,
    entries=(Entry(scale="C", problem="random-functions"),),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: the identity"),
)

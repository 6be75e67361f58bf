"""Subsets of one size: what they identify, and how near Bernoulli subsets they are."""

from dataclasses import replace
from math import log

import torch
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.attribution import Attribution
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.designs.fixed_size import FixedSize
from dmtheory.estimand import Point
from dmtheory.problems.base import Problem
from dmtheory.problems.set_functions import all_masks
from dmtheory.responses.collect import collect
from dmtheory.theory import exhaustive
from validation.claim import Claim, Entry, Evidence, exact_part
from validation.claims.exact import exact_attribution, largest_error
from validation.laboratory import Laboratory
from validation.made_up.counted_records import counted, of_half, of_one_half
from validation.problems import resized
from validation.statistics.relate import relate
from validation.verdicts.verdict import SUPPORTED, Part

TOLERANCE = 1e-10
# Nearer N^-1 than N^-1/2 or N^-3/2, the next powers that a rate is likely to have.
EXPONENT = (-1.25, -0.75)
# The same records in more copies, so that nothing but N changes.
RECORDS, COPIES = 3, (12, 24, 48)
SLOPE = (0.95, 1.05)
SIZES = (6, 10, 14)


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Enumerate, or for real data draw subsets of half the examples."""
    if entry.scale == "V":
        return _measured(laboratory, entry)
    estimates: dict[str, Attribution] = {}
    references: dict[str, Attribution] = {}
    for n_train in SIZES:
        problem = resized(entry.problem, n_train)
        table = exhaustive.tabulate(problem)
        size = n_train // 2
        bernoulli = exhaustive.population_regression(table, size / n_train)[1]
        rows = {
            f"fixed {n_train}": (
                estimates,
                exhaustive.fixed_size_datamodel(table, size),
            ),
            f"contrast {n_train}": (references, _contrast(table, size)),
            f"Bernoulli {n_train}": (references, bernoulli - bernoulli.mean(0)),
        }
        for name, (side, scores) in rows.items():
            side[name] = _exactly(problem, scores, size / n_train, name)
    records = resized(entry.problem, RECORDS)
    for copies in COPIES:
        found = counted(records, copies)
        name = f"{found.n_train}, in copies"
        estimates[f"fixed {name}"] = _exactly(records, of_half(found), 0.5, "fixed")
        references[f"Bernoulli {name}"] = _exactly(
            records, of_one_half(found), 0.5, "Bernoulli"
        )
    return Evidence(estimates=estimates, references=references)


def _contrast(table: Tensor, size: int) -> Tensor:
    """Return ((N-1)/N) (E[F | i in] - E[F | i out]) over subsets of one size."""
    masks = all_masks(len(table).bit_length() - 1)
    chosen = masks.sum(1) == size
    inside, values = masks[chosen].T, table[chosen]
    n_train = len(inside)
    present = inside @ values / inside.sum(1, keepdim=True)
    absent = (1 - inside) @ values / (1 - inside).sum(1, keepdim=True)
    return (n_train - 1) / n_train * (present - absent)


def _exactly(problem: Problem, scores: Tensor, p: float, name: str) -> Attribution:
    return exact_attribution(
        problem,
        scores,
        quantity="datamodel",
        point=Point("subsets", p),
        method=f"{name.split()[0]}, by enumeration",
    )


def _measured(laboratory: Laboratory, entry: Entry) -> Evidence:
    problem = laboratory.problem(entry.problem)
    setting = laboratory.settings[entry.problem]
    n_train = problem.description.n_train
    design = FixedSize(
        size=round(setting.p * n_train),
        n_models=setting.n_models,
        seed=laboratory.experiment_seed("fixed size"),
    )

    def make() -> Attribution:
        return fit_datamodel(collect(problem, design, engine=laboratory.engine))

    return Evidence(
        estimates={"fixed": laboratory.made(("fixed size", entry.problem), make)},
        references={"Bernoulli": _centred(laboratory.datamodel(entry.problem))},
    )


def _centred(attribution: Attribution) -> Attribution:
    """Return coefficients that sum to zero, as those of one size do."""

    def centre(scores: Tensor, dim: int) -> Tensor:
        return scores - scores.mean(dim, keepdim=True)

    units = attribution.units
    return replace(
        attribution,
        scores=centre(attribution.scores, 0),
        units=None if units is None else centre(units, 1),
    )


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Sums vanish, contrasts are what is fitted, and the gap to Bernoulli is 1/N."""
    if entry.scale == "V":
        return _judge_measured(evidence)
    worst = {"sum": 0.0, "contrast": 0.0}
    for n_train in SIZES:
        fixed = evidence.estimates[f"fixed {n_train}"]
        worst["sum"] = max(worst["sum"], fixed.scores.sum(0).abs().max().item())
        contrast = evidence.references[f"contrast {n_train}"]
        worst["contrast"] = max(worst["contrast"], largest_error(fixed, contrast))
    return [
        exact_part(
            "what is fitted",
            "beta_i = ((N-1)/N) (E[F | i in] - E[F | i out])",
            worst["contrast"],
            TOLERANCE,
        ),
        exact_part(
            "the sum is not identified",
            "the minimum-norm coefficients sum to zero",
            worst["sum"],
            TOLERANCE,
            headline=False,
        ),
        Part(
            name="near centred Bernoulli",
            statement="exponent of the relative gap against N, which is "
            f"{RECORDS} records in {COPIES} copies each: about -1",
            interval=Interval.exact(_exponent(evidence)),
            tolerance=EXPONENT,
        ),
    ]


def _exponent(evidence: Evidence) -> float:
    """Return the slope of log gap on log N; enumerated, so without an error."""
    sizes = [RECORDS * copies for copies in COPIES]
    gaps = []
    for n_train in sizes:
        fixed = evidence.estimates[f"fixed {n_train}, in copies"].scores
        centred = evidence.references[f"Bernoulli {n_train}, in copies"].scores
        gaps.append(log((fixed - centred).norm() / centred.norm()))
    x = torch.tensor([log(n) for n in sizes], dtype=torch.float64)
    x = x - x.mean()
    return (x @ torch.tensor(gaps, dtype=torch.float64) / x.square().sum()).item()


def _judge_measured(evidence: Evidence) -> list[Part]:
    found = relate(evidence.estimates["fixed"], evidence.references["Bernoulli"])
    return [
        Part(
            name="slope on centred Bernoulli",
            statement="subsets of N/2 against Bernoulli(1/2), 1 within .05",
            interval=found.slope,
            tolerance=SLOPE,
        ),
        Part(
            name="correlation",
            statement="errors taken out, at least .99",
            interval=found.disattenuated,
            tolerance=(0.99, None),
        ),
    ]


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    if "fixed" in evidence.estimates:
        return evidence.estimates["fixed"], evidence.references["Bernoulli"]
    largest = SIZES[-1]
    return (
        evidence.estimates[f"fixed {largest}"],
        evidence.references[f"Bernoulli {largest}"],
    )


CLAIM = Claim(
    id="fixed-size-design",
    title="Subsets of one size",
    statement=(
        "Subsets of size k identify a datamodel up to a constant; the minimum-norm one "
        "sums to zero, is ((N-1)/N) (E[F | i in] - E[F | i out]), and lies within "
        "O(1/N) of the centred Bernoulli(k/N) one for smooth responses."
    ),
    source="Theory 2.7",
    expected=SUPPORTED,
    entries=(
        Entry(scale="C", problem="tiny-ridge-sum"),
        Entry(scale="V", problem="diabetes-sum", suite="thorough"),
        Entry(scale="V", problem="breast-cancer-sum", suite="thorough"),
        Entry(scale="V", problem="diabetes-count", suite="thorough"),
        Entry(scale="V", problem="breast-cancer-count", suite="thorough"),
    ),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: centred Bernoulli"),
)

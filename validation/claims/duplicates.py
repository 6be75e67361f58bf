"""Copies: a datamodel halves with each, leave-one-out sees none of them."""

import torch
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.estimand import Point
from dmtheory.theory import exhaustive
from dmtheory.theory.games import leave_one_out_values
from validation.claim import Claim, Entry, Evidence, exact_part
from validation.claims.exact import exact_attribution, largest_error
from validation.laboratory import Laboratory
from validation.problems import COPIES, NEIGHBOURS
from validation.verdicts.verdict import SUPPORTED, Part

LEVELS = (0.2, 0.5, 0.8)
TOLERANCE = 1e-12


def measure(laboratory: Laboratory, entry: Entry) -> Evidence:
    """Enumerate; beside it write the closed forms down."""
    problem = laboratory.problem(entry.problem)
    table = exhaustive.tabulate(problem)
    n_train = problem.description.n_train
    estimates: dict[str, Attribution] = {}
    references: dict[str, Attribution] = {}
    for p in LEVELS:
        both = {
            "population regression, by enumeration": (
                estimates,
                exhaustive.population_regression(table, p)[1],
            ),
            "closed form": (references, _closed_form(n_train, p)),
        }
        for method, (side, scores) in both.items():
            side[f"datamodel {p}"] = exact_attribution(
                problem,
                scores,
                quantity="datamodel",
                point=Point("subsets", p),
                method=method,
            )
    for method, side, scores in (
        ("by enumeration", estimates, leave_one_out_values(table)),
        ("closed form", references, _left_out(n_train)),
    ):
        side["leave-one-out"] = exact_attribution(
            problem,
            scores,
            quantity="leave-one-out",
            point=Point("weights", 1.0),
            method=method,
        )
    return Evidence(estimates=estimates, references=references)


def _closed_form(n_train: int, p: float) -> Tensor:
    """Return beta of OR, of AND and of the nearest neighbour, for each k."""
    columns = []
    for law in (lambda k: (1 - p) ** (k - 1), lambda k: p ** (k - 1)):
        columns += [_of_copies(n_train, k, law(k)) for k in COPIES]
    for k in COPIES:
        labels = [1.0] * k + list(NEIGHBOURS[k:])
        columns.append(torch.stack([_nearest(labels, i, p) for i in range(n_train)]))
    return torch.stack(columns, dim=1)


def _nearest(labels: list[float], i: int, p: float) -> Tensor:
    """Return beta_i of the label of the nearest example present, nearest first.

    i decides where nobody nearer is in: it replaces the label that the farther ones
    would give.
    """
    farther = 0.0
    for label in reversed(labels[i + 1 :]):
        farther = p * label + (1 - p) * farther
    return torch.tensor((1 - p) ** i * (labels[i] - farther), dtype=torch.float64)


def _left_out(n_train: int) -> Tensor:
    one = [_of_copies(n_train, k, float(k == 1)) for k in COPIES]
    every = [_of_copies(n_train, k, 1.0) for k in COPIES]
    # Without the nearest the second decides; the copies have the label 1.
    second = [1.0 if k > 1 else NEIGHBOURS[1] for k in COPIES]
    nearest = [_of_copies(n_train, 1, 1.0 - label) for label in second]
    return torch.stack(one + every + nearest, dim=1)


def _of_copies(n_train: int, k: int, value: float) -> Tensor:
    scores = torch.zeros(n_train, dtype=torch.float64)
    scores[:k] = value
    return scores


def judge(evidence: Evidence, entry: Entry) -> list[Part]:
    """Hold every value against its closed form."""

    def error(name: str) -> float:
        return largest_error(evidence.estimates[name], evidence.references[name])

    return [
        exact_part(
            "the datamodel of a copy",
            "OR of k: (1-p)^(k-1); AND of k: p^(k-1); nearest neighbour: the j-th "
            "nearest decides with (1-p)^(j-1)",
            max(error(f"datamodel {p}") for p in LEVELS),
            TOLERANCE,
        ),
        exact_part(
            "leaving one copy out",
            "changes nothing where one of k > 1 is enough, everything where all are "
            "needed",
            error("leave-one-out"),
            TOLERANCE,
        ),
    ]


def drawn(evidence: Evidence) -> tuple[Attribution, Attribution]:
    """Return what the figure shows."""
    return evidence.estimates["datamodel 0.5"], evidence.references["datamodel 0.5"]


CLAIM = Claim(
    id="duplicates",
    title="Copies of an example",
    statement=(
        "Where one of k copies is enough, the datamodel of each is (1-p)^(k-1) and its "
        "leave-one-out 0; where all k are needed they are p^(k-1) and 1; the nearest "
        "neighbour rule has copies of the first kind."
    ),
    source="Theory 2.11",
    expected=SUPPORTED,
    entries=(Entry(scale="C", problem="copies"),),
    measure=measure,
    judge=judge,
    drawn=drawn,
    predicted_slope=lambda _: (1.0, "slope 1: the closed form"),
)

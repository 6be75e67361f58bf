"""What linear scores reach at most, and how many models come near it."""

from dataclasses import dataclass
from math import ceil, sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of_arrays
from dmtheory.attribution import Attribution
from dmtheory.problems.set_functions import all_masks
from dmtheory.theory.exhaustive import Table
from dmtheory.theory.noise_laws import Law
from validation.claim import Evidence

# Of its bound, what a datamodel has to reach; and the correlation with the linear part
# at the models that the law names.
REACHED, NAMED = 0.9, 0.95

Targets = Float[Tensor, " targets"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What linear scores reach on all subsets, a target.

    Attributes:
        correlation: Pearson, of sum_{i in S} score_i with F(S).
        missing: Mean squared error over the variance, with the best intercept.
    """

    correlation: Targets
    missing: Targets


def spectrum_by_degree(table: Table, p: float) -> Float[Tensor, "degrees targets"]:
    """Return sum_{|A| = d} Fhat(A)^2 for d = 0, ..., N under Bernoulli(p).

    One player at a time (F_0, F_1) becomes its mean and sqrt(p(1-p)) (F_1 - F_0).
    """
    n_train, n_targets = len(table).bit_length() - 1, table.shape[1]
    values = table.reshape([2] * n_train + [n_targets])
    for axis in range(n_train):
        out, into = values.unbind(axis)
        mean = (1 - p) * out + p * into
        values = torch.stack([mean, sqrt(p * (1 - p)) * (into - out)], axis)
    degrees = all_masks(n_train).sum(1).long()
    weights = torch.zeros(n_train + 1, n_targets, dtype=table.dtype)
    return weights.index_add_(0, degrees, values.reshape(-1, n_targets).square())


def every_subset(table: Table, like: Attribution) -> SubsetOutputs:
    """Return F at every subset once, as the law at p = 1/2 weighs them."""
    return evaluation_of_arrays(
        all_masks(len(like.train_labels)), table, like=like, n_replicates=1
    )


def reached(scores: Float[Tensor, "train targets"], every: SubsetOutputs) -> Reached:
    """Return what scores reach on every subset, without sampling; p = 1/2."""
    predicted = every.weights @ scores
    predicted = predicted - predicted.mean(0)
    outputs = every.mean_outputs() - every.mean_outputs().mean(0)
    variance = outputs.square().mean(0)
    scale = (predicted.square().mean(0) * variance).sqrt()
    return Reached(
        correlation=(predicted * outputs).mean(0) / scale,
        missing=(outputs - predicted).square().mean(0) / variance,
    )


def rows_named(law: Law, ratio: float, n_train: int) -> int:
    """Return the fewest rows with which OLS correlates by .95 with the linear part.

    Both laws are r^2 = 1/(1 + N s/(m - c)), so m - c = N s r^2/(1 - r^2); c is found
    by the law itself.
    """
    beyond = n_train * ratio * NAMED**2 / (1 - NAMED**2)
    rows = torch.arange(n_train, n_train + ceil(beyond) + 4, dtype=torch.float64)
    enough = law(torch.tensor(ratio).double(), n_train, rows) >= NAMED**2
    return int(rows[enough][0])


def numbered(name: str, values: Tensor) -> dict[str, float]:
    """Return numbers of evidence, one a target."""
    return {f"{name} {i}": value for i, value in enumerate(values.tolist())}


def many(evidence: Evidence, name: str, n: int) -> Tensor:
    """Return what `numbered` wrote."""
    numbers = [evidence.numbers[f"{name} {i}"] for i in range(n)]
    return torch.tensor(numbers, dtype=torch.float64)

"""Problems whose response is known in closed form: the oracles of everything else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import as_matrix, check_at_least, check_weights
from dmtheory.identity import digest, numbered
from dmtheory.problems.base import Description, Problem

MAX_EXAMPLES = 14


@dataclass(frozen=True, kw_only=True, eq=False)
class SetFunction:
    r"""A function of subsets given by its 2^N values, extended multilinearly.

    F~(w) = sum_S F(S) prod_{i in S} w_i prod_{i not in S} (1 - w_i): the expected
    value when i is in S independently with probability w_i. Vertex S is row
    sum_{i in S} 2^i of the table.

    Attributes:
        values: F(S), one row a subset and one column a target; N <= 14.
    """

    values: Float[Tensor, "subsets targets"]

    def __post_init__(self) -> None:
        as_matrix(self.values, "values", "subsets x targets")
        n = len(self.values).bit_length() - 1
        if len(self.values) != 2**n or not 1 <= n <= MAX_EXAMPLES:
            raise ValueError(
                f"values must have 2^N rows with 1 <= N <= {MAX_EXAMPLES}, got "
                f"{len(self.values)}"
            )

    @cached_property
    def description(self) -> Description:
        """What identifies the problem and labels its axes."""
        return Description(
            name="set-function",
            digest=digest("set function", self.values),
            output="value",
            normalisation="count",
            step_policy="fixed",
            train_labels=numbered("player", len(self.values).bit_length() - 1),
            target_labels=numbered("function", self.values.shape[1]),
            deterministic=True,
        )

    def respond(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models targets"]:
        """Return the multilinear extension at each weight vector."""
        check_weights(weights, self.description.n_train)
        return multilinear_extension(self.values, weights)


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleMean:
    r"""The weighted sample mean F(w) = sum_j w_j y_j / sum_j w_j, one target.

    The smallest scale-free training procedure: F(cw) = F(w). F(empty) is the grand
    mean.

    Attributes:
        values: y, one a training example.
    """

    values: Float[Tensor, " train"]

    @cached_property
    def description(self) -> Description:
        """What identifies the problem and labels its axes."""
        return Description(
            name="sample-mean",
            digest=digest("sample mean", self.values),
            output="prediction",
            normalisation="sum",
            step_policy="fixed",
            train_labels=numbered("value", len(self.values)),
            target_labels=("mean",),
            deterministic=True,
        )

    def respond(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models targets"]:
        """Return the weighted mean of each row."""
        check_weights(weights, self.description.n_train)
        total = weights.sum(1)
        mean = (weights @ self.values) / total.clamp_min(1e-300)
        return torch.where(total > 0, mean, self.values.mean())[:, None]


def multilinear_extension(
    values: Float[Tensor, "subsets targets"], weights: Float[Tensor, "models train"]
) -> Float[Tensor, "models targets"]:
    """Return F~ at each weight vector; differentiable in the weights."""
    law = torch.ones(len(weights), 1, dtype=weights.dtype)
    for column in weights.T.unsqueeze(-1):
        # Rows of the table count subsets in binary: example i is bit i.
        law = torch.cat([law * (1 - column), law * column], dim=1)
    return law @ values


def all_masks(n_train: int) -> Float[Tensor, "subsets train"]:
    """Return every subset as a 0/1 row, in the order of a set function's table.

    Raises:
        ValueError: If there are more than 2^14 subsets.
    """
    check_at_least(n_train, 1, "n_train")
    if n_train > MAX_EXAMPLES:
        raise ValueError(f"n_train must be at most {MAX_EXAMPLES}, got {n_train}")
    return ((torch.arange(2**n_train)[:, None] >> torch.arange(n_train)) & 1).double()


def or_of_duplicates(n_train: int, k: int) -> SetFunction:
    """Return F(S) = 1 if any of the first k examples is in S."""
    present = all_masks(n_train)[:, :k].sum(1)
    return SetFunction(values=(present > 0).double()[:, None])


def and_of_examples(n_train: int, k: int) -> SetFunction:
    """Return F(S) = 1 if all of the first k examples are in S."""
    present = all_masks(n_train)[:, :k].sum(1)
    return SetFunction(values=(present == k).double()[:, None])


def nearest_neighbour(
    distances: Float[Tensor, " train"], labels: Float[Tensor, " train"]
) -> SetFunction:
    """Return F(S) = the label of the example in S that is nearest to the target.

    The first of several at one distance; F(empty) = 0.
    """
    masks = all_masks(len(distances))
    order = torch.argsort(distances, stable=True)
    first = masks[:, order].argmax(1)
    found = labels[order][first].masked_fill(masks.sum(1) == 0, 0.0)
    return SetFunction(values=found[:, None])


def side_by_side(functions: Sequence[SetFunction]) -> SetFunction:
    """Return functions of the same players as the targets of one."""
    return SetFunction(values=torch.cat([f.values for f in functions], dim=1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Bent:
    r"""Another problem's response plus c sum_i w_i (1 - w_i), which no subset shows.

    Every vertex keeps its value, so every datamodel does; dF/dw at w = 1 falls by c.

    Attributes:
        base: The problem.
        bend: c, in the output's unit.
    """

    base: Problem
    bend: float

    @cached_property
    def description(self) -> Description:
        """What identifies the problem: that of the base, bent."""
        base = self.base.description
        return replace(
            base,
            name=f"{base.name}-bent",
            digest=digest("bent", base.digest, self.bend),
            qualities=(),
        )

    def respond(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models targets"]:
        """Return the base's response, bent between the vertices."""
        inside = (weights * (1 - weights)).sum(1, keepdim=True)
        return self.base.respond(weights, seeds) + self.bend * inside

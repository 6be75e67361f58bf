"""Groups of images as players: a problem whose weights are the groups'."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.identity import digest, numbered
from dmtheory.problems.base import Description, Measured, Problem
from dmtheory.problems.quality import Quality


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupPlayers:
    """A problem whose players are groups of another's examples.

    Everything that holds for examples holds for groups verbatim (theory 2.13).

    Attributes:
        problem: The problem of the examples.
        groups: One group number an example, 0, ..., G - 1 with none empty.
    """

    problem: Measured
    groups: tuple[int, ...]

    @cached_property
    def description(self) -> Description:
        """That of the examples' problem with groups on the train axis."""
        inner = self.problem.description
        return replace(
            inner,
            name=f"{inner.name}-groups",
            digest=digest("groups", inner.digest, self.groups),
            train_labels=numbered("group", max(self.groups) + 1),
        )

    def respond(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models targets"]:
        """Train one model a row, each example at its group's weight."""
        return self.problem.respond(self._of_examples(weights), seeds)

    def measure(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> tuple[Float[Tensor, "models targets"], Quality]:
        """Return what `respond` does, with held-out quality."""
        return self.problem.measure(self._of_examples(weights), seeds)

    def _of_examples(self, weights: Tensor) -> Tensor:
        return weights[:, torch.tensor(self.groups, device=weights.device)]


def in_groups(attribution: Attribution, players: GroupPlayers) -> Attribution:
    """Return the scores of groups: a group's is the sum of its members'.

    Args:
        attribution: Scores of all examples, with their units.
        players: The groups.

    Returns:
        Scores of the groups' problem, with errors over units where there are some.
    """
    groups = torch.tensor(players.groups)
    description = players.description
    shape = (description.n_train, attribution.scores.shape[1])

    def summed(scores: Tensor) -> Tensor:
        return scores.new_zeros(shape).index_add_(0, groups, scores)

    units = attribution.units
    if units is not None:
        units = torch.stack([summed(unit) for unit in units])
    several = units is not None and len(units) > 1
    return replace(
        attribution.in_unit("per_weight"),
        scores=summed(attribution.in_unit("per_weight").scores),
        units=units,
        stderr=units.std(0) / len(units) ** 0.5 if several else None,  # type: ignore
        estimand=replace(
            attribution.in_unit("per_weight").estimand, problem=description.digest
        ),
        train_labels=description.train_labels,
        n_train=description.n_train,
    )


def carried(attribution: Attribution, problem: Problem) -> Attribution:
    """Return scores of one recipe stated as those of another, for its ranks alone.

    Influence needs weighted training with fixed steps; single images are left out by
    another recipe. What the first says of the second is no estimate of it, and the
    method says so.
    """
    ours = problem.description
    return replace(
        attribution,
        estimand=replace(
            attribution.estimand,
            problem=ours.digest,
            normalisation=ours.normalisation,
            step_policy=ours.step_policy,
        ),
        method=f"{attribution.method}, of the weighted recipe",
    )

"""Who the players of a design are: replicates and groups taken off."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from dmtheory.designs import (
    AntitheticPairs,
    ComplementaryPairs,
    DisjointBlocks,
    Grouped,
    RandomDirections,
    Replicates,
)
from dmtheory.designs.base import Design


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Players:
    """What a design draws, and for whom.

    Attributes:
        design: The law of the players' weights, without replicates and groups.
        labels: One label a player.
        groups: The player of every example, where groups are the players.
        n_replicates: Consecutive models that have one weight vector.
    """

    design: Design
    labels: tuple[str, ...]
    groups: Int64[Tensor, " examples"] | None
    n_replicates: int


def players_of(design: Design, labels: Sequence[str]) -> Players:
    """Take replicates and groups off a design.

    Args:
        design: The design that models were trained on.
        labels: One label an example.

    Returns:
        The design of the players.
    """
    found, groups, n_replicates = tuple(labels), None, 1
    while isinstance(design, Replicates | Grouped):
        if isinstance(design, Replicates):
            n_replicates *= design.n_replicates
        else:
            groups, found = torch.tensor(design.groups), design.group_labels
        design = design.design
    return Players(
        design=design, labels=found, groups=groups, n_replicates=n_replicates
    )


def unit_size(design: Design) -> int:
    """Return how many consecutive rows of a design depend on one another."""
    if isinstance(design, ComplementaryPairs | AntitheticPairs | RandomDirections):
        return 2
    return design.parts if isinstance(design, DisjointBlocks) else 1

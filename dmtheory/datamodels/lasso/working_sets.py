"""Each target's own few coordinates, gathered side by side."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

# Entries of the Gram matrices of sets that are solved together, 1 GiB in float64.
_AT_ONCE = 2**27


@dataclass(frozen=True, slots=True, eq=False)
class WorkingSets:
    """Coordinates of several targets, filled up to one width.

    Attributes:
        targets: The targets' columns.
        members: Coordinates of each; number 0 where `inside` is false.
        inside: Which members are.
    """

    targets: Int64[Tensor, " sets"]
    members: Int64[Tensor, "sets width"]
    inside: Bool[Tensor, "sets width"]

    def gathered(
        self, values: Float[Tensor, "train targets"]
    ) -> Float[Tensor, "sets width 1"]:
        """Return the members' values, 0 outside."""
        found = values[self.members, self.targets[:, None]]
        return torch.where(self.inside, found, 0.0)[:, :, None]

    def add_to(
        self,
        values: Float[Tensor, "train targets"],
        moves: Float[Tensor, "sets width 1"],
    ) -> None:
        """Add the members' moves in place."""
        columns = self.targets[:, None].expand_as(self.members)[self.inside]
        values[self.members[self.inside], columns] += moves[:, :, 0][self.inside]

    def matrices(
        self, gram: Float[Tensor, "train train"], precision: torch.dtype
    ) -> Tensor:
        """Return each set's Gram matrix; rows and columns outside are 0."""
        found = gram[self.members[:, :, None], self.members[:, None, :]].to(precision)
        both = self.inside[:, :, None] & self.inside[:, None, :]
        return found.mul_(both)


def working_sets(
    marked: Bool[Tensor, "train targets"], targets: Int64[Tensor, " sets"]
) -> Iterator[WorkingSets]:
    """Return the marked coordinates of some targets, those of like width together."""
    widths = marked.sum(0)[targets]
    order = widths.argsort()
    targets, widths = targets[order], widths[order]
    # From the widest down: a block is as wide as its first.
    stop = len(targets)
    while stop > 0:
        width = max(int(widths[stop - 1]), 1)
        start = max(stop - max(_AT_ONCE // width**2, 1), 0)
        yield _sets(marked, targets[start:stop], width)
        stop = start


def _sets(marked: Tensor, targets: Tensor, width: int) -> WorkingSets:
    row, member = marked[:, targets].T.nonzero(as_tuple=True)
    counts = marked[:, targets].sum(0)
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    members = torch.zeros(len(targets), width, dtype=torch.int64, device=row.device)
    members[row, place] = member
    inside = torch.zeros_like(members, dtype=torch.bool)
    inside[row, place] = True
    return WorkingSets(targets, members, inside)

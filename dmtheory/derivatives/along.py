"""What moves in a derivative: examples, groups of them, or whole directions."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.designs.nudges import Move
from dmtheory.designs.points import check_coordinates, check_groups
from dmtheory.problems.base import Description


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Straight lines through a point, one a row of the attribution.

    Attributes:
        directions: One sparse vector a row, over players.
        labels: One label a row.
        groups: The group of every example where groups are the players; else empty.
        n_players: How many rows there could be: N, or the number of groups.
    """

    directions: tuple[Move, ...]
    labels: tuple[str, ...]
    groups: tuple[int, ...]
    n_players: int

    def room(
        self, at: Float[Tensor, " train"]
    ) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
        """Return how far each line goes down and up before a weight is negative."""
        weights = at
        if self.groups:
            start = torch.full((self.n_players,), torch.inf, dtype=at.dtype)
            weights = start.scatter_reduce(0, torch.tensor(self.groups), at, "amin")
        plain = weights.tolist()

        def until(sign: int) -> list[float]:
            return [
                min(
                    (plain[i] / abs(v) for i, v in line if v * sign < 0),
                    default=torch.inf,
                )
                for line in self.directions
            ]

        down, up = (torch.tensor(until(s), dtype=at.dtype) for s in (-1, 1))
        return down, up

    @property
    def players(self) -> tuple[int, ...]:
        """The player of each row.

        Raises:
            ValueError: If rows are no single players.
        """
        if any(len(line) != 1 or line[0][1] != 1 for line in self.directions):
            raise ValueError(
                "along must be Examples() or Groups() for an average over subsets: "
                "along a direction the bridge has no path"
            )
        return tuple(line[0][0] for line in self.directions)

    def over_examples(
        self, players: Float[Tensor, "rows players"]
    ) -> Float[Tensor, "rows train"]:
        """Return each example's entry of vectors over players: its group's."""
        return players[:, list(self.groups)] if self.groups else players

    def of_players(self, at: Float[Tensor, " train"]) -> Float[Tensor, " players"]:
        """Return the weight of every player: a group's mean."""
        if not self.groups:
            return at
        groups = torch.tensor(self.groups)
        total = at.new_zeros(self.n_players).index_add(0, groups, at)
        return total / groups.bincount()

    def vectors(self, n_models: int) -> Float[Tensor, "models rows train"] | None:
        """Return the directions over examples, of each of some models alike.

        None stands for every example's own weight, in order.
        """
        if not self.groups and self.directions == tuple(
            ((i, 1.0),) for i in range(self.n_players)
        ):
            return None
        rows = torch.zeros(len(self.directions), self.n_players, dtype=torch.float64)
        for row, line in zip(rows, self.directions, strict=True):
            for player, entry in line:
                row[player] = entry
        return self.over_examples(rows).expand(n_models, -1, -1)


@runtime_checkable
class Along(Protocol):
    """A choice of what moves."""

    def paths(self, description: Description, coordinates: tuple[int, ...]) -> Paths:
        """Return the lines along which F is differentiated."""
        ...


@dataclass(frozen=True, slots=True)
class Examples:
    """Each chosen example's own weight: g_i = dF/dw_i."""

    def paths(self, description: Description, coordinates: tuple[int, ...]) -> Paths:
        """Return one line an example."""
        return Paths(
            directions=tuple(((i, 1.0),) for i in coordinates),
            labels=tuple(description.train_labels[i] for i in coordinates),
            groups=(),
            n_players=description.n_train,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """All weights of a group together: the sum of g_i over it.

    Attributes:
        groups: One group number an example, 0, ..., G - 1 with none empty.
        labels: One label a group; "group 0" and so on by default.
        chosen: Which groups are rows; all by default.
    """

    groups: tuple[int, ...]
    labels: tuple[str, ...] = ()
    chosen: tuple[int, ...] | None = None

    def paths(self, description: Description, coordinates: tuple[int, ...]) -> Paths:
        """Return one line a chosen group.

        Raises:
            ValueError: If the groups are no partition of the examples, labels are
                missing or repeated, a chosen group does not exist, or coordinates are
                given too.
        """
        check_groups(self.groups, description.n_train)
        _check_all(coordinates, description.n_train, "groups by `chosen`")
        n_groups = max(self.groups) + 1
        if self.labels and len(self.labels) != n_groups:
            raise ValueError(
                f"labels must have one entry a group ({n_groups}), got "
                f"{len(self.labels)}"
            )
        chosen = tuple(range(n_groups)) if self.chosen is None else self.chosen
        check_coordinates(chosen, n_groups, "chosen")
        _check_distinct(self.labels)
        labels = self.labels or tuple(f"group {g}" for g in range(n_groups))
        return Paths(
            directions=tuple(((g, 1.0),) for g in chosen),
            labels=tuple(labels[g] for g in chosen),
            groups=self.groups,
            n_players=n_groups,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Directions:
    """Whole directions d: the derivative of F(w + t d) at t = 0, sum_i d_i g_i.

    Attributes:
        vectors: One direction a row, one entry an example; at most N of them.
        labels: One label a direction; "direction 0" and so on by default.
    """

    vectors: tuple[tuple[float, ...], ...]
    labels: tuple[str, ...] = ()

    def paths(self, description: Description, coordinates: tuple[int, ...]) -> Paths:
        """Return one line a direction.

        Raises:
            ValueError: If there are none or more than N, one is zero, not finite or
                of another length, labels are missing or repeated, or coordinates are
                given too.
        """
        n_train = description.n_train
        _check_all(coordinates, n_train, "directions by `vectors`")
        if not 1 <= len(self.vectors) <= n_train:
            raise ValueError(
                f"vectors must be 1 to {n_train} directions, got {len(self.vectors)}: "
                "differentiate along more in several calls"
            )
        if self.labels and len(self.labels) != len(self.vectors):
            raise ValueError(
                f"labels must have one entry a direction ({len(self.vectors)}), got "
                f"{len(self.labels)}"
            )
        _check_distinct(self.labels)
        rows = range(len(self.vectors))
        return Paths(
            directions=tuple(_sparse(vector, n_train) for vector in self.vectors),
            labels=self.labels or tuple(f"direction {row}" for row in rows),
            groups=(),
            n_players=n_train,
        )


def _sparse(vector: tuple[float, ...], n_train: int) -> Move:
    if len(vector) != n_train:
        raise ValueError(
            f"vectors must have one entry an example ({n_train}), got {len(vector)}"
        )
    if not torch.isfinite(torch.tensor(vector)).all() or not any(vector):
        raise ValueError("vectors must be finite and not all 0, got one that is not")
    return tuple((i, float(v)) for i, v in enumerate(vector) if v != 0)


def _check_all(coordinates: tuple[int, ...], n_train: int, instead: str) -> None:
    if coordinates != tuple(range(n_train)):
        raise ValueError(
            f"coordinates must be left out here, got {len(coordinates)} of {n_train}: "
            f"choose {instead}"
        )


def _check_distinct(labels: tuple[str, ...]) -> None:
    if len(set(labels)) != len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ValueError(f"labels must be distinct, got {twice!r} twice")

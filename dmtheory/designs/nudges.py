"""Chosen moves of weights around a point, all sharing their seed."""

from dataclasses import dataclass
from functools import cached_property
from math import isfinite

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.designs.points import At, check_groups, point_rows
from dmtheory.designs.seeds import check_seed, model_seeds

# Which players move, and how far each: one sparse vector.
Move = tuple[tuple[int, float], ...]

# Weights below zero by less are rounding of a move that ends on the boundary.
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Nudges:
    """The same moves w + d_1, ..., w + d_K around a point for every training seed.

    Rows come in the order (seed, move), so any prefix of whole seeds is itself a
    design. All moves of a seed share it: whatever a difference of them has in common
    cancels.

    Attributes:
        at: The common weight of all examples, or one weight an example.
        moves: One sparse vector a row: pairs of a player and its change of weight;
            no pair is the point itself.
        groups: The group of every example where groups are the players; empty where
            examples are.
        n_seeds: Training seeds.
        seed: The experiment's seed.
    """

    at: At
    moves: tuple[Move, ...]
    groups: tuple[int, ...] = ()
    n_seeds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(len(self.moves), 1, "number of moves")
        check_at_least(self.n_seeds, 1, "n_seeds")
        check_seed(self.seed)
        for move in self.moves:
            for player, change in move:
                check_at_least(player, 0, "a player of moves")
                if not isfinite(change):
                    raise ValueError(f"moves must be finite, got {change}")

    @property
    def n_models(self) -> int:
        """One training a move and seed."""
        return len(self.moves) * self.n_seeds

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the point moved as each row says.

        Raises:
            ValueError: If a player does not exist or a weight would be negative.
        """
        if self.groups:
            check_groups(self.groups, n_train)
        change = self._changes(rows % len(self.moves), n_train)
        weights = point_rows(self.at, n_train) + change
        if bool((weights < -_ROUNDING).any()):
            raise ValueError(
                f"moves must keep weights >= 0, got {weights.min().item():g}: take "
                "smaller ones"
            )
        return weights.clamp_min(0.0)

    def _changes(
        self, moves: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return how far each example moves in some of the moves."""
        n_players = max(self.groups) + 1 if self.groups else n_train
        first, player, amount = self._sparse
        if len(player) and int(player.max()) >= n_players:
            raise ValueError(
                f"moves must be of players in [0, {n_players}), got {int(player.max())}"
            )
        sizes = first[moves + 1] - first[moves]
        row = torch.arange(len(moves)).repeat_interleave(sizes)
        # Of each entry wanted: its place among its row's, added to where those start.
        place = torch.arange(len(row)) - (sizes.cumsum(0) - sizes)[row]
        entry = first[moves][row] + place
        change = torch.zeros(len(moves), n_players, dtype=torch.float64)
        change.index_put_((row, player[entry]), amount[entry], accumulate=True)
        return change[:, torch.tensor(self.groups)] if self.groups else change

    @cached_property
    def _sparse(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return where each move's entries start, all players and all changes."""
        sizes = torch.tensor([0] + [len(move) for move in self.moves])
        entries = [pair for move in self.moves for pair in move]
        players = torch.tensor([player for player, _ in entries], dtype=torch.int64)
        changes = torch.tensor([change for _, change in entries], dtype=torch.float64)
        return sizes.cumsum(0), players, changes

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row, shared by all moves."""
        return model_seeds(self.seed, rows // len(self.moves))

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return the covariance over moves drawn uniformly."""
        weights = self.weights(torch.arange(len(self.moves)), n_train)
        centred = weights - weights.mean(0)
        return centred.T @ centred / len(weights)

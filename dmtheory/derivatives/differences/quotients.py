"""Difference quotients: which trainings they take, and what becomes of the outputs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.derivatives.along import Paths
from dmtheory.derivatives.averages.rises import Rises
from dmtheory.derivatives.differences.stencils import DifferenceRule, Stencil
from dmtheory.designs.base import Design
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.nudges import Move, Nudges
from dmtheory.designs.points import plain_point
from dmtheory.designs.subset_pairs import SubsetPairs

# Room that is short of a step by less, relatively, is rounding.
_ROUNDING = 1e-12

# Outputs of a design, in its row order.
Train = Callable[[Design], Float[Tensor, "models targets"]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quotients:
    """Difference quotients of every unit, for one step or several.

    Attributes:
        by_step: [units, rows, targets] for each step; units share their seeds.
        independent: For each step, the variance over units that quotients would have
            if every training had a seed of its own; None where that is unknown.
        orders: The bias is O(h^order), a row.
        one_sided: How many rows lie on the boundary.
        largest: The largest output in size, a target.
        n_models: Trainings spent.
    """

    by_step: dict[float, Tensor]
    independent: dict[float, Tensor] | None
    orders: Float[Tensor, " rows"]
    one_sided: int
    largest: Float[Tensor, " targets"]
    n_models: int


def at_a_point(
    at: Float[Tensor, " train"],
    paths: Paths,
    rule: DifferenceRule,
    steps: tuple[float, ...],
    *,
    n_seeds: int,
    seed: int,
    train: Train,
) -> Quotients:
    """Train at all distinct weight vectors of the stencils, once a seed.

    Args:
        at: The point w.
        paths: The lines through it.
        rule: How to differentiate along a line.
        steps: Steps h that share their seeds.
        n_seeds: Training seeds.
        seed: The experiment's seed.
        train: Trains a design's rows.

    Returns:
        One quotient a seed, row and step.

    Raises:
        ValueError: If the largest step leads out of w >= 0.
    """
    stencils = _stencils(at, paths, rule, max(steps))
    places: dict[Move, int] = {}
    rows = {
        step: [
            [places.setdefault(_move(line, o * step), len(places)) for o in s.offsets]
            for line, s in zip(paths.directions, stencils, strict=True)
        ]
        for step in steps
    }
    design = Nudges(
        at=plain_point(at),
        moves=tuple(places),
        groups=paths.groups,
        n_seeds=n_seeds,
        seed=seed,
    )
    outputs = train(design).unflatten(0, (n_seeds, len(places)))
    coefficients = _padded([list(s.coefficients) for s in stencils]).double()
    by_step, independent = {}, {}
    for step in steps:
        # A padded place is any output times 0.
        index = _padded(rows[step]).long()
        by_step[step] = (
            torch.einsum("srkt,rk->srt", outputs[:, index], coefficients) / step
        )
        if n_seeds > 1:
            variance = outputs.var(0)[index]
            independent[step] = (
                torch.einsum("rkt,rk->rt", variance, coefficients.square()) / step**2
            )
    return Quotients(
        by_step=by_step,
        independent=independent or None,
        orders=torch.tensor([s.order for s in stencils], dtype=torch.float64),
        one_sided=sum(s is not rule.interior for s in stencils),
        largest=outputs.abs().amax((0, 1)),
        n_models=design.n_models,
    )


def over_subsets(
    law: Bernoulli,
    paths: Paths,
    steps: tuple[float, ...],
    *,
    jumps: bool,
    n_units: int,
    seed: int,
    train: Train,
) -> Quotients:
    """Train central pairs along each player's weight, the others random subsets.

    Args:
        law: Bernoulli(p).
        paths: The players.
        steps: Steps h that share subsets and seeds.
        jumps: Whether the response jumps from nobody to a player alone, as it does
            under `sum`: there the rise itself takes the quotient's place.
        n_units: Units of two subsets.
        seed: The experiment's seed.
        train: Trains a design's rows.

    Returns:
        One quotient a unit, row and step.

    Raises:
        ValueError: If rows are no players, or a step is too large.
    """
    players = paths.players
    by_step, largest, n_models = {}, [], 0
    for step in steps:
        design = SubsetPairs(
            p=law.p,
            step=step,
            coordinates=players,
            groups=paths.groups,
            n_units=n_units,
            seed=seed,
        )
        rows = torch.arange(0, design.n_models, 2)
        width = torch.full((len(rows),), 2 * step, dtype=torch.float64)
        if jumps:
            rises = Rises(pairs=design)
            outputs = train(rises)
            width[rises.alone(rows, len(paths.groups) or paths.n_players)] = 1.0
        else:
            outputs = train(design)
        moved = (outputs[0::2] - outputs[1::2]) / width[:, None]
        by_step[step] = moved.unflatten(0, (n_units, 2, len(players))).mean(1)
        largest.append(outputs.abs().amax(0))
        n_models += design.n_models
    return Quotients(
        by_step=by_step,
        independent=None,
        orders=torch.full((len(players),), 2.0, dtype=torch.float64),
        one_sided=0,
        largest=torch.stack(largest).amax(0),
        n_models=n_models,
    )


def _stencils(
    at: Float[Tensor, " train"], paths: Paths, rule: DifferenceRule, step: float
) -> list[Stencil]:
    """Return the stencil of each row: one-sided where weights cannot move one way."""
    down, up = (room.tolist() for room in paths.room(at))
    return [_stencil(rule, step, *room) for room in zip(down, up, strict=True)]


def _stencil(rule: DifferenceRule, step: float, down: float, up: float) -> Stencil:
    for stencil, wanted in (
        (rule.interior, True),
        (rule.boundary, down == 0),
        (rule.boundary.mirrored, up == 0),
    ):
        lowest = -min(stencil.offsets) * step * (1 - _ROUNDING)
        highest = max(stencil.offsets) * step * (1 - _ROUNDING)
        if wanted and lowest <= down and highest <= up:
            return stencil
    if down == up == 0:
        raise ValueError(
            "vectors must leave weights >= 0 one way or the other, got a direction "
            "that raises one weight of 0 and lowers another"
        )
    least = min(room for room in (down, up) if room > 0)
    raise ValueError(
        f"step must keep weights >= 0: the largest move is {step:g} where the "
        f"weight is {least:g}"
    )


def _move(line: Move, distance: float) -> Move:
    """Return the line's vector times a distance; all of distance 0 are one move."""
    if distance == 0:
        return ()
    return tuple((player, entry * distance) for player, entry in line)


def _padded(rows: list[list[float]] | list[list[int]]) -> Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor(
        [[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.float64
    )

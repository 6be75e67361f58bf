"""Averages of derivatives over random subsets and an example's own weight."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.derivatives.along import Paths
from dmtheory.derivatives.averages.by_models import ModelDerivatives
from dmtheory.derivatives.averages.trapezoid import trapezoid_ends
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.seeds import Purpose, model_seeds, uniforms
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress

Units = Float[Tensor, "units rows targets"]


@runtime_checkable
class SubsetRule(Protocol):
    """A rule for E_S int_0^1 g_i(1_{S-i} + t e_i) dt."""

    @property
    def name(self) -> str:
        """The rule in words, for results."""
        ...

    def n_models(self, n_units: int, n_rows: int) -> int:
        """Return how many trainings are differentiated."""
        ...

    def units(
        self,
        by: ModelDerivatives,
        problem: Problem,
        p: float,
        paths: Paths,
        *,
        n_units: int,
        seed: int,
        engine: Engine | None = None,
        progress: Progress | None = None,
    ) -> Units:
        """Return independent estimates whose mean is the average."""
        ...


@dataclass(frozen=True, slots=True)
class Trapezoid:
    r"""The own weight's integral by its two ends, all coordinates from every model.

    (1/2) E[g_i(1_S) | i in S] + (1/2) E[g_i(1_S) | i not in S], at p = 1/2 the plain
    average of g_i(1_S), else that of `trapezoid_ends` times it. A unit is one subset
    with a seed of its own. Off by the rule's error, (1/12) E d^2 g_i / dw_i^2 to
    leading order.
    """

    @property
    def name(self) -> str:
        """The rule in words, for results."""
        return "trapezoid over random subsets"

    def n_models(self, n_units: int, n_rows: int) -> int:
        """Return one training a unit."""
        return n_units

    def units(
        self,
        by: ModelDerivatives,
        problem: Problem,
        p: float,
        paths: Paths,
        *,
        n_units: int,
        seed: int,
        engine: Engine | None = None,
        progress: Progress | None = None,
    ) -> Units:
        """Return one estimate a subset."""
        players = list(paths.players)
        law, rows = Bernoulli(p=p, n_models=n_units, seed=seed), torch.arange(n_units)
        masks = law.weights(rows, paths.n_players)
        found = by.at_models(
            problem,
            paths.over_examples(masks),
            law.seeds(rows),
            paths.vectors(n_units),
            engine=engine,
            progress=progress,
        )
        return found * trapezoid_ends(masks[:, players], p)[:, :, None]


def at_point_or_over_subsets(
    by: ModelDerivatives,
    problem: Problem,
    at: Float[Tensor, " train"] | Bernoulli,
    paths: Paths,
    *,
    n_units: int,
    seed: int,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Units:
    """Return one estimate a training seed at w, or a random subset of a law.

    Over a law they are the trapezoid's.
    """
    if isinstance(at, Bernoulli):
        return Trapezoid().units(
            by,
            problem,
            at.p,
            paths,
            n_units=n_units,
            seed=seed,
            engine=engine,
            progress=progress,
        )
    return by.at_models(
        problem,
        at.expand(n_units, -1),
        model_seeds(seed, torch.arange(n_units)),
        paths.vectors(n_units),
        engine=engine,
        progress=progress,
    )


@dataclass(frozen=True, slots=True)
class OwnWeight:
    r"""Each coordinate's derivative at random places of its own weight.

    A unit has, for each coordinate i, two opposite subsets S ~ Bernoulli(p) with a seed
    each, and one t uniform on (0, 1): the mean of g_i(1_{S-i} + t e_i) at t and, for
    the opposite subset, at 1 - t. Exact in expectation. Under `sum` F jumps from the
    empty set, so where S - i is empty its rise F(e_i) - F(empty) is taken itself, by
    two trainings more. Coordinates share no subset, so their errors are independent.
    """

    @property
    def name(self) -> str:
        """The rule in words, for results."""
        return "random places of each own weight"

    def n_models(self, n_units: int, n_rows: int) -> int:
        """Return two trainings a unit and coordinate."""
        return 2 * n_units * n_rows

    def units(
        self,
        by: ModelDerivatives,
        problem: Problem,
        p: float,
        paths: Paths,
        *,
        n_units: int,
        seed: int,
        engine: Engine | None = None,
        progress: Progress | None = None,
    ) -> Units:
        """Return one estimate a unit and coordinate."""
        n, drawn = len(paths.directions), torch.arange(n_units * len(paths.directions))
        masks, own = self._masks(p, paths, drawn, seed)
        lanes = torch.arange(len(masks))
        units = torch.zeros_like(masks)
        units[lanes, own] = 1.0
        directions, seeds = paths.over_examples(units), model_seeds(seed, lanes)
        jumps = (masks * (1 - units)).sum(1) == 0
        if problem.description.normalisation != "sum":
            jumps[:] = False
        found = masks.new_zeros(len(masks), problem.description.n_targets)
        found[jumps] = _rises(problem, directions[jumps], seeds[jumps])
        smooth = ~jumps
        if bool(smooth.any()):
            found[smooth] = by.at_models(
                problem,
                paths.over_examples(masks[smooth]),
                seeds[smooth],
                directions[smooth, None],
                engine=engine,
                progress=progress,
            )[:, 0]
        return found.unflatten(0, (2, n_units, n)).mean(0)

    def _masks(
        self, p: float, paths: Paths, drawn: Tensor, seed: int
    ) -> tuple[Float[Tensor, "models players"], Int64[Tensor, " models"]]:
        """Return 1_{S-i} + t e_i of all first subsets, then of their opposites, and i.

        `drawn` numbers the first subsets, those of a unit in the order of the rows.
        """
        law = Bernoulli(p=p, seed=seed)
        masks = torch.stack([
            law.weights(drawn, paths.n_players),
            law.antithetic_weights(drawn, paths.n_players),
        ])
        t = uniforms(seed, Purpose.OWN_WEIGHT, drawn, torch.zeros(1).long())[:, 0]
        own = torch.tensor(paths.players).repeat(len(drawn) // len(paths.players))
        masks[0, drawn, own] = t
        masks[1, drawn, own] = 1 - t
        return masks.flatten(0, 1), own.repeat(2)


def _rises(
    problem: Problem, units: Float[Tensor, "models train"], seeds: Tensor
) -> Float[Tensor, "models targets"]:
    """Return F(e_i) - F(empty) of each row, both sides sharing its seed."""
    if not len(units):
        return units.new_zeros(0, problem.description.n_targets)
    ends = torch.cat([units, torch.zeros_like(units)])
    single, empty = problem.respond(ends, seeds.repeat(2)).chunk(2)
    return single - empty

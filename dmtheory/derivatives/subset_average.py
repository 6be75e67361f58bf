"""Averages of derivatives over random subsets and an example's own weight."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.derivatives.by_models import ModelDerivatives, unit_directions
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.seeds import Purpose, model_seeds, uniforms
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress

Units = Float[Tensor, "units coordinates targets"]


@runtime_checkable
class SubsetRule(Protocol):
    """A rule for E_S int_0^1 g_i(1_{S-i} + t e_i) dt."""

    @property
    def name(self) -> str:
        """The rule in words, for results."""
        ...

    def n_models(self, n_units: int, n_coordinates: int) -> int:
        """Return how many trainings are differentiated."""
        ...

    def units(
        self,
        by: ModelDerivatives,
        problem: Problem,
        p: float,
        coordinates: tuple[int, ...],
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

    (1/2) E[g_i(1_S) | i in S] + (1/2) E[g_i(1_S) | i not in S]: with S ~ Bernoulli(p)
    the mean of g_i(1_S) (1/2) ([i in S]/p + [i not in S]/(1-p)), at p = 1/2 the plain
    average. A unit is one subset with a seed of its own. Off by the rule's error,
    -(1/12) E d^2 g_i / dw_i^2 to leading order.
    """

    @property
    def name(self) -> str:
        """The rule in words, for results."""
        return "trapezoid over random subsets"

    def n_models(self, n_units: int, n_coordinates: int) -> int:
        """Return one training a unit."""
        return n_units

    def units(
        self,
        by: ModelDerivatives,
        problem: Problem,
        p: float,
        coordinates: tuple[int, ...],
        *,
        n_units: int,
        seed: int,
        engine: Engine | None = None,
        progress: Progress | None = None,
    ) -> Units:
        """Return one estimate a subset."""
        n_train = problem.description.n_train
        law, rows = Bernoulli(p=p, n_models=n_units, seed=seed), torch.arange(n_units)
        masks = law.weights(rows, n_train)
        directions = unit_directions(coordinates, n_units, n_train)
        found = by.at_models(
            problem,
            masks,
            law.seeds(rows),
            directions,
            engine=engine,
            progress=progress,
        )
        inside = masks[:, list(coordinates)]
        ends = 0.5 * (inside / p + (1 - inside) / (1 - p))
        return found * ends[:, :, None]


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

    def n_models(self, n_units: int, n_coordinates: int) -> int:
        """Return two trainings a unit and coordinate."""
        return 2 * n_units * n_coordinates

    def units(
        self,
        by: ModelDerivatives,
        problem: Problem,
        p: float,
        coordinates: tuple[int, ...],
        *,
        n_units: int,
        seed: int,
        engine: Engine | None = None,
        progress: Progress | None = None,
    ) -> Units:
        """Return one estimate a unit and coordinate."""
        n_train, n = problem.description.n_train, len(coordinates)
        pairs = torch.arange(n_units * n)
        weights = self._weights(p, coordinates, pairs, n_train, seed)
        own = torch.tensor(coordinates).repeat(2 * n_units)
        lanes = torch.arange(len(weights))
        directions = torch.zeros(len(weights), 1, n_train, dtype=torch.float64)
        directions[lanes, 0, own] = 1.0
        seeds = model_seeds(seed, lanes)
        others = weights.clone()
        others[lanes, own] = 0.0
        jumps = others.sum(1) == 0
        if problem.description.normalisation != "sum":
            jumps[:] = False
        found = weights.new_zeros(len(weights), problem.description.n_targets)
        found[jumps] = _rises(problem, directions[jumps, 0], seeds[jumps])
        smooth = ~jumps
        found[smooth] = by.at_models(
            problem,
            weights[smooth],
            seeds[smooth],
            directions[smooth],
            engine=engine,
            progress=progress,
        )[:, 0]
        return found.unflatten(0, (2, n_units, n)).mean(0)

    def _weights(
        self,
        p: float,
        coordinates: tuple[int, ...],
        pairs: Tensor,
        n_train: int,
        seed: int,
    ) -> Float[Tensor, "models train"]:
        """Return 1_{S-i} + t e_i of all first subsets, then of their opposites."""
        law = Bernoulli(p=p, seed=seed)
        masks = torch.stack([
            law.weights(pairs, n_train),
            law.antithetic_weights(pairs, n_train),
        ])
        t = uniforms(seed, Purpose.OWN_WEIGHT, pairs, torch.zeros(1).long())[:, 0]
        own = torch.tensor(coordinates).repeat(len(pairs) // len(coordinates))
        masks[0, pairs, own] = t
        masks[1, pairs, own] = 1 - t
        return masks.flatten(0, 1)


def _rises(
    problem: Problem, units: Float[Tensor, "models train"], seeds: Tensor
) -> Float[Tensor, "models targets"]:
    """Return F(e_i) - F(empty) of each row, both sides sharing its seed."""
    if not len(units):
        return units.new_zeros(0, problem.description.n_targets)
    ends = torch.cat([units, torch.zeros_like(units)])
    single, empty = problem.respond(ends, seeds.repeat(2)).chunk(2)
    return single - empty

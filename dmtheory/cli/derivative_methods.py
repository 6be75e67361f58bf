"""Methods of `dmtheory derive`: which options are whose, and what they ask for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dmtheory.datamodels.estimators.difference import DifferenceOfMeans
from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.datamodels.estimators.ols import OLS
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.derivatives.along import Along, Examples, Groups
from dmtheory.derivatives.finite_difference import FiniteDifference
from dmtheory.derivatives.ladder import Ladder
from dmtheory.derivatives.method import At, DerivativeMethod
from dmtheory.derivatives.random_directions import RandomDirections
from dmtheory.derivatives.stencils import Central, DifferenceRule, Forward, Richardson
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.groups import random_groups
from dmtheory.designs.points import random_coordinates
from dmtheory.problems.base import Problem

RULES: dict[str, DifferenceRule] = {
    "central": Central(),
    "forward": Forward(),
    "richardson": Richardson(),
}
ESTIMATORS: dict[str, DatamodelEstimator] = {
    "ols": OLS(),
    "ridge": Ridge(),
    "difference": DifferenceOfMeans(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a command line asks of a method; what it leaves out is not in `said`.

    Attributes:
        problem: The problem.
        at: The point, or a subset law.
        n_drawn: How many examples or groups; all if None.
        seed: The experiment's seed.
        said: The method's own options that were given, by name.
    """

    problem: Problem
    at: At
    n_drawn: int | None
    seed: int
    said: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A method, which examples it is asked for, and what it will take.

    Attributes:
        method: The method.
        coordinates: The examples; all if None.
        n_models: Trainings, at most.
    """

    method: DerivativeMethod
    coordinates: tuple[int, ...] | None
    n_models: int


@dataclass(frozen=True, slots=True)
class Route:
    """A method on the command line.

    Attributes:
        options: The options that are the method's own.
        plan: Returns the method that they ask for.
    """

    options: frozenset[str]
    plan: Callable[[Asked], Plan]


def _differences(asked: Asked) -> Plan:
    said, description = asked.said, asked.problem.description
    n_players, coordinates = description.n_train, None
    along: Along = Examples()
    if "groups" in said:
        n_players = said["groups"]
        groups = random_groups(description.n_train, n_players, seed=asked.seed)
        along = Groups(groups=groups)
    if asked.n_drawn is not None:
        drawn = random_coordinates(n_players, asked.n_drawn, seed=asked.seed)
        if isinstance(along, Groups):
            along = Groups(groups=along.groups, chosen=drawn)
        else:
            coordinates = drawn
    method = FiniteDifference(
        step=Ladder(said["steps"]) if "steps" in said else said.get("step", 0.05),
        n_seeds=said.get("seeds", 20),
        rule=RULES[said.get("rule", "central")],
        along=along,
    )
    a_row = len(method.rule.interior.offsets) * len(method.steps)
    n_units = method.n_seeds
    if isinstance(asked.at, Bernoulli):
        a_row *= 2
    elif description.deterministic:
        n_units = 1
    return Plan(
        method=method,
        coordinates=coordinates,
        n_models=a_row * n_units * (asked.n_drawn or n_players),
    )


def _directions(asked: Asked) -> Plan:
    said, n_train = asked.said, asked.problem.description.n_train
    method = RandomDirections(
        step=said.get("step", 0.05),
        n_pairs=said.get("pairs"),
        law=said.get("law", "rademacher"),
        density=said.get("density", 0.1),
        estimator=ESTIMATORS[said.get("estimator", "ols")],
    )
    coordinates = None
    if asked.n_drawn is not None:
        coordinates = random_coordinates(n_train, asked.n_drawn, seed=asked.seed)
    n_pairs = method.n_pairs_for(n_train)
    return Plan(method=method, coordinates=coordinates, n_models=2 * n_pairs)


# Another method is another entry here, and its own options in `derive`.
METHODS: dict[str, Route] = {
    "finite-difference": Route(
        frozenset({"rule", "step", "steps", "groups", "seeds"}), _differences
    ),
    "random-directions": Route(
        frozenset({"step", "pairs", "law", "density", "estimator"}), _directions
    ),
}

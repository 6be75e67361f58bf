"""Methods of `dmtheory derive`: which options are whose, and what they ask for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from dmtheory.datamodels.estimators.difference import DifferenceOfMeans
from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.datamodels.estimators.ols import OLS
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.derivatives.along import Along, Examples, Groups
from dmtheory.derivatives.averages.averaged import AveragedDerivative, ByInfluence
from dmtheory.derivatives.averages.by_models import ModelDerivatives
from dmtheory.derivatives.averages.subset_average import (
    OwnWeight,
    SubsetRule,
    Trapezoid,
)
from dmtheory.derivatives.differences.finite_difference import FiniteDifference
from dmtheory.derivatives.differences.ladder import Ladder
from dmtheory.derivatives.differences.random_directions import RandomDirections
from dmtheory.derivatives.differences.stencils import (
    Central,
    DifferenceRule,
    Forward,
    Richardson,
)
from dmtheory.derivatives.implicit import Implicit
from dmtheory.derivatives.method import At, DerivativeMethod
from dmtheory.derivatives.through_training.modes import (
    MEMORY,
    ForwardMode,
    Mode,
    ReverseMode,
    fewest_products,
)
from dmtheory.derivatives.through_training.pathwise import Pathwise
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.groups import random_groups
from dmtheory.designs.points import random_coordinates
from dmtheory.influence.curvature import GaussNewton
from dmtheory.problems.base import Problem

Rule = TypeVar("Rule")
_MIB = 2**20

RULES: dict[str, DifferenceRule] = {
    "central": Central(),
    "forward": Forward(),
    "richardson": Richardson(),
}
SUBSET_RULES: dict[str, SubsetRule] = {
    "trapezoid": Trapezoid(),
    "own-weight": OwnWeight(),
}
WAYS = ("pathwise", "implicit", "influence")
MODES = ("reverse", "forward")
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


def _moved(asked: Asked) -> tuple[Along, tuple[int, ...] | None, int]:
    """Return what moves, which examples of all, and how many rows that makes."""
    n_players, coordinates = asked.problem.description.n_train, None
    along: Along = Examples()
    if "groups" in asked.said:
        n_examples, n_players = n_players, asked.said["groups"]
        along = Groups(groups=random_groups(n_examples, n_players, seed=asked.seed))
    if asked.n_drawn is not None:
        drawn = random_coordinates(n_players, asked.n_drawn, seed=asked.seed)
        if isinstance(along, Groups):
            along = Groups(groups=along.groups, chosen=drawn)
        else:
            coordinates = drawn
    return along, coordinates, asked.n_drawn or n_players


def _differences(asked: Asked) -> Plan:
    said, description = asked.said, asked.problem.description
    along, coordinates, n_rows = _moved(asked)
    method = FiniteDifference(
        step=Ladder(said["steps"]) if "steps" in said else said.get("step", 0.05),
        n_seeds=said.get("seeds", 20),
        rule=_rule(said, RULES, "central", "finite-difference"),
        along=along,
    )
    a_row = len(method.rule.interior.offsets) * len(method.steps)
    n_units = method.n_seeds
    if isinstance(asked.at, Bernoulli):
        a_row *= 2
    elif description.deterministic:
        n_units = 1
    return Plan(
        method=method, coordinates=coordinates, n_models=a_row * n_units * n_rows
    )


def _directions(asked: Asked) -> Plan:
    said = asked.said
    along, coordinates, _ = _moved(asked)
    assert isinstance(along, Examples | Groups)
    method = RandomDirections(
        step=said.get("step", 0.05),
        n_pairs=said.get("pairs"),
        law=said.get("law", "rademacher"),
        density=said.get("density", 0.1),
        estimator=ESTIMATORS[said.get("estimator", "ols")],
        along=along,
    )
    n_pairs = method.n_pairs_for(said.get("groups", asked.problem.description.n_train))
    return Plan(method=method, coordinates=coordinates, n_models=2 * n_pairs)


def _pathwise(asked: Asked) -> Plan:
    along, coordinates, n_rows = _moved(asked)
    n_seeds = asked.said.get("seeds", 10)
    method = Pathwise(n_seeds=n_seeds, mode=_mode(asked, n_rows), along=along)
    return Plan(method=method, coordinates=coordinates, n_models=n_seeds)


def _implicit(asked: Asked) -> Plan:
    along, coordinates, _ = _moved(asked)
    method = Implicit(n_subsets=asked.said.get("seeds", 20), along=along)
    n_models = method.n_subsets if isinstance(asked.at, Bernoulli) else 1
    return Plan(method=method, coordinates=coordinates, n_models=n_models)


def _averaged(asked: Asked) -> Plan:
    said = asked.said
    along, coordinates, n_rows = _moved(asked)
    rule = _rule(said, SUBSET_RULES, "trapezoid", "averaged")
    way = said.get("by", "pathwise")
    for name, wanted in (
        ("mode", "pathwise"),
        ("memory", "pathwise"),
        ("damping", "influence"),
    ):
        if name in said and way != wanted:
            raise click.UsageError(f"{name} needs --by {wanted}, got {way}")
    by: ModelDerivatives
    if way == "influence":
        by = ByInfluence(curvature=GaussNewton(), damping=said.get("damping", 0.0))
    elif way == "implicit":
        by = Implicit()
    else:
        by = Pathwise(mode=_mode(asked, 1 if rule == OwnWeight() else n_rows))
    n_units = said.get("seeds", 20)
    return Plan(
        method=AveragedDerivative(by=by, rule=rule, n_units=n_units, along=along),
        coordinates=coordinates,
        n_models=rule.n_models(n_units, n_rows),
    )


def _mode(asked: Asked, n_rows: int) -> Mode:
    """Return the mode that is asked for, by default the one of fewer products."""
    memory = asked.said.get("memory", MEMORY // _MIB) * _MIB
    match asked.said.get("mode"):
        case "reverse":
            return ReverseMode(memory=memory)
        case "forward":
            return ForwardMode(memory=memory)
        case _:
            n_targets = asked.problem.description.n_targets
            return fewest_products(n_rows, n_targets, memory)


def _rule(said: dict[str, Any], rules: dict[str, Rule], default: str, of: str) -> Rule:
    """Return a rule by name; click.UsageError where it is another method's."""
    name = said.get("rule", default)
    if name not in rules:
        raise click.UsageError(
            f"rule must be {' or '.join(rules)} for --method {of}, got {name}"
        )
    return rules[name]


# Another method is another entry here, and its own options in `derive`.
METHODS: dict[str, Route] = {
    "finite-difference": Route(
        frozenset({"rule", "step", "steps", "groups", "seeds"}), _differences
    ),
    "random-directions": Route(
        frozenset({"step", "pairs", "law", "density", "estimator", "groups"}),
        _directions,
    ),
    "pathwise": Route(frozenset({"seeds", "groups", "mode", "memory"}), _pathwise),
    "implicit": Route(frozenset({"seeds", "groups"}), _implicit),
    "averaged": Route(
        frozenset({"seeds", "groups", "by", "rule", "mode", "memory", "damping"}),
        _averaged,
    ),
}

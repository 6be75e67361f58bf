"""What a model would do without some of its examples, with no retraining."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.derivatives.method import At
from dmtheory.designs.points import check_coordinates
from dmtheory.influence.arguments import (
    check_curvature,
    check_damping,
    check_differentiable,
    check_rule,
)
from dmtheory.influence.at_models.linearised import Linearised, linearised
from dmtheory.influence.at_models.trained_models import check_fixed_steps, models_at
from dmtheory.influence.curvature import Curvature, ExactHessian
from dmtheory.influence.removing.rules import NewtonStep
from dmtheory.problems.base import Description, DifferentiableProblem
from dmtheory.responses.collect import Progress


@runtime_checkable
class Removal(Protocol):
    """A rule that says what examples contribute, from a model trained with them."""

    @property
    def name(self) -> str:
        """The rule's name in results."""
        ...

    @property
    def quantity(self) -> str:
        """What it estimates, as `Estimand` names it."""
        ...

    def contributions(
        self, model: Linearised, removed: Float[Tensor, "groups train"]
    ) -> Float[Tensor, "groups targets"]:
        """Estimate F(w) - F(w without the group); positive: it raises the output.

        Args:
            model: A model trained with w.
            removed: 1 for the members of each group, 0 for the rest.
        """
        ...


def leave_out(
    problem: DifferentiableProblem,
    groups: Mapping[str, Sequence[int]] | None = None,
    *,
    rule: Removal = NewtonStep(),  # noqa: B008 -- frozen, without state
    curvature: Curvature = ExactHessian(),  # noqa: B008 -- frozen, without state
    damping: float = 0.0,
    at: At = 1.0,
    n_seeds: int = 1,
    seed: int = 0,
    parameters: Tensor | None = None,
    progress: Progress | None = None,
) -> Attribution:
    r"""Estimate F(w) - F(w without a group) from trained models, without retraining.

    Positive: the group's presence raises the output. It is a finite difference, not a
    derivative: its exact counterpart is `leave_one_out`, which retrains. The rules are
    `FirstOrder`, `SecondOrder`, `LeverageCorrected`, `NewtonStep` and, where it is not
    retraining that is asked for, `ProximalBregman`.

    Args:
        problem: A differentiable problem that trains with fixed steps in float64.
        groups: Examples of each group, by the group's label; every training example
            alone by default. Groups may overlap.
        rule: How to estimate.
        curvature: The exact Hessian or the Gauss-Newton matrix.
        damping: Added to the curvature of J, in its units, >= 0.
        at: The point w that examples are removed from, or a subset law to average
            over; an example of weight 0 contributes nothing.
        n_seeds: Trained models at a fixed point; one where training is deterministic.
        seed: The experiment's seed.
        parameters: One trained parameter vector a model; nothing is trained then.
        progress: Called with 1 after each model.

    Returns:
        One row a group, with standard errors over models.

    Raises:
        ValueError: If an argument is out of range, a group takes all the weight there
            is, or the damped curvature is not positive definite.
    """
    check_differentiable(problem)
    check_fixed_steps(problem.description, "removals")
    check_rule(rule, Removal)
    check_damping(damping)
    check_curvature(curvature)
    removed = members(problem.description, groups)
    models = models_at(
        problem, at=at, n_seeds=n_seeds, seed=seed, parameters=parameters
    )

    def one(params: Tensor, weights: Tensor) -> Tensor:
        check_some_are_left(weights, removed)
        model = linearised(
            problem, params, weights, curvature=curvature, damping=damping
        )
        return rule.contributions(model, removed)

    return models.attribution(
        models.each(one, progress),
        problem.description,
        quantity=rule.quantity,
        method=f"{rule.name}, {curvature.name}, damping {damping:g}",
        labels=None if groups is None else tuple(groups),
    )


def members(
    description: Description, groups: Mapping[str, Sequence[int]] | None
) -> Float[Tensor, "groups train"]:
    """Return 1 for the members of each group; every example alone by default.

    Raises:
        TypeError: If groups have no labels.
        ValueError: If there is no group, or one has no members, repeated ones or
            members that are no training examples.
    """
    n_train = description.n_train
    if groups is None:
        return torch.eye(n_train, dtype=torch.float64)
    if not isinstance(groups, Mapping):
        raise TypeError(
            "groups must map labels to examples, such as {'eights': [3, 5]}, got a "
            f"{type(groups).__name__}"
        )
    if not groups:
        raise ValueError("groups must name at least one group, got none")
    rows = torch.zeros(len(groups), n_train, dtype=torch.float64)
    for row, (label, examples) in zip(rows, groups.items(), strict=True):
        try:
            check_coordinates(tuple(examples), n_train)
        except ValueError as error:
            raise ValueError(
                f"groups must hold distinct training examples, but {label!r} does not: "
                f"{error}"
            ) from None
        row[list(examples)] = 1
    return rows


def check_some_are_left(weights: Tensor, removed: Tensor) -> None:
    """Raise ValueError if a group takes all the weight there is."""
    left = weights - removed * weights
    if not bool(left.any(1).all()):
        raise ValueError(
            "groups must leave an example of positive weight, but group "
            f"{int((~left.any(1)).nonzero()[0])} takes all of them"
        )

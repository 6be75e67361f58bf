"""Means over independent units, with standard errors, as an attribution."""

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.estimand import Estimand, Point
from dmtheory.problems.base import Description


def point_of(at: float | Float[Tensor, " train"] | Bernoulli) -> Point:
    """Return where a derivative is taken: at w, or averaged over a subset law."""
    if isinstance(at, Bernoulli):
        return Point("average", at.p)
    if isinstance(at, Tensor):
        return Point.of(at)
    return Point("weights", float(at))


def from_units(
    units: Float[Tensor, "units rows targets"],
    description: Description,
    coordinates: tuple[int, ...],
    *,
    quantity: str,
    point: Point,
    n_models: int,
    seed: int | None,
    method: str,
) -> Attribution:
    """Return the mean over independent units as an attribution.

    Args:
        units: One estimate a unit.
        description: The problem.
        coordinates: Its examples that the rows are.
        quantity: What is estimated.
        point: Where.
        n_models: Trainings spent.
        seed: The experiment's seed; None where nothing was drawn, and then a single
            unit is exact.
        method: How, in words.

    Returns:
        The attribution, with standard errors over units.
    """
    return from_labelled_units(
        units,
        description,
        tuple(description.train_labels[i] for i in coordinates),
        n_train=description.n_train,
        quantity=quantity,
        point=point,
        n_models=n_models,
        seed=seed,
        method=method,
    )


def from_labelled_units(
    units: Float[Tensor, "units rows targets"],
    description: Description,
    labels: tuple[str, ...],
    *,
    n_train: int,
    quantity: str,
    point: Point,
    n_models: int,
    seed: int | None,
    method: str,
) -> Attribution:
    """Return the same for rows that need not be examples, such as groups.

    Args:
        units: One estimate a unit.
        description: The problem.
        labels: One label a row.
        n_train: How many such rows the problem has in all.
        quantity: What is estimated.
        point: Where.
        n_models: Trainings spent.
        seed: The experiment's seed; None where nothing was drawn, and then a single
            unit is exact.
        method: How, in words.

    Returns:
        The attribution, with standard errors over units.
    """
    several = len(units) > 1
    error = units.std(0) / len(units) ** 0.5 if several else torch.zeros_like(units[0])
    return Attribution(
        scores=units.mean(0),
        stderr=error if several or seed is None else None,
        units=units if several else None,
        estimand=Estimand(
            quantity=quantity,
            point=point,
            output=description.output,
            normalisation=description.normalisation,
            step_policy=description.step_policy,
            problem=description.digest,
            seeds_per_weight=1 if point.kind == "average" else len(units),
        ),
        train_labels=labels,
        target_labels=description.target_labels,
        n_train=n_train,
        n_models=n_models,
        seeds=frozenset() if seed is None else frozenset({seed}),
        method=method,
    )


def check_none_diverged(diverged: torch.Tensor) -> None:
    """Raise ValueError if a training diverged: a difference has no use for it."""
    if bool(diverged.any()):
        raise ValueError(
            f"{int(diverged.sum())} of {len(diverged)} trainings diverged or did not "
            "converge, the first in row "
            f"{int(diverged.nonzero()[0])}: lower the learning rate, or raise the ridge"
        )

"""Which examples to remove: the first of an attribution's order, and what it says."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least, check_choice
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.seeds import Purpose, uniforms
from dmtheory.estimand import Point, expected_slope
from dmtheory.problems.base import Description

SIDES = ("helpful", "harmful")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Who chooses the examples, and who predicts what removing them does.

    An estimate's largest scores are partly its largest errors, so that it overstates
    what it chose itself; another one, from other models, does not.

    Attributes:
        by: The attribution whose order is followed.
        predicted_by: The attribution that predicts, of the same rows and columns.
    """

    by: Attribution
    predicted_by: Attribution

    def __post_init__(self) -> None:
        for axis in ("train_labels", "target_labels"):
            if getattr(self.by, axis) != getattr(self.predicted_by, axis):
                raise ValueError(
                    f"predicted_by must have the {axis} of by: align them with "
                    ".restricted(train=..., targets=...)"
                )

    @property
    def independent(self) -> bool:
        """Whether another estimate predicts than the one that chose."""
        return self.by is not self.predicted_by


def crossed(attribution: Attribution) -> tuple[Choice, Choice]:
    """Return the two ways to choose by one half of the models and predict by the other.

    Args:
        attribution: An estimate with its units, at least 8 (4 a half).

    Returns:
        Two choices, each half choosing once.

    Raises:
        ValueError: If there are too few units.
    """
    n_units = 0 if attribution.units is None else len(attribution.units)
    if attribution.units is None or n_units < 8:
        raise ValueError(
            f"attribution must have at least 8 units to be halved, got {n_units}: use "
            "more models or seeds"
        )
    first, second = (_half(attribution, attribution.units[i::2]) for i in (0, 1))
    return (
        Choice(by=first, predicted_by=second),
        Choice(by=second, predicted_by=first),
    )


def _half(attribution: Attribution, units: Tensor) -> Attribution:
    return replace(
        attribution,
        scores=units.mean(0),
        stderr=units.std(0) / len(units) ** 0.5,
        units=units,
        intercept=None,
        n_models=attribution.n_models // 2,
        method=f"{attribution.method}, half of the models",
    )


def at_random(like: Attribution, *, seed: int = 0) -> Attribution:
    """Return scores without meaning, the same for every target: a baseline.

    Args:
        like: Whose rows and columns.
        seed: Seed of the scores.

    Returns:
        Uniform scores in (-1/2, 1/2).
    """
    n_train, n_targets = like.scores.shape
    drawn = uniforms(
        seed, Purpose.EXAMPLE, torch.zeros(1).long(), torch.arange(n_train)
    )
    return replace(
        like,
        scores=(drawn[0] - 0.5)[:, None].repeat(1, n_targets),
        stderr=None,
        units=None,
        intercept=None,
        n_models=0,
        seeds=frozenset(),
        method="uniform random scores",
    )


def order_of(
    attribution: Attribution, target: int, side: str = "helpful"
) -> Int64[Tensor, " train"]:
    """Return all rows, the most helpful (or harmful) for a target first.

    Args:
        attribution: Scores.
        target: The target's column.
        side: "helpful" begins with the largest scores, "harmful" with the smallest.

    Returns:
        Row numbers; ties in their own order.

    Raises:
        ValueError: If the side is unknown.
    """
    check_choice(side, SIDES, "side")
    scores = attribution.scores[:, target]
    return torch.argsort(scores, descending=side == "helpful", stable=True)


def removal_factor(attribution: Attribution, at: float | Bernoulli) -> float:
    """Return c such that removing a set at `at` changes outputs by -c sum of scores.

    A score is the change per unit of weight at the attribution's own point or law, and
    `expected_slope` carries it to another one: under `sum` a datamodel at p counts p
    times at w = 1. Where theory knows no such slope (`count` at another level) it is
    taken as it is. At w = c·1 the weight that a removed example loses is c.

    Args:
        attribution: Scores, in any unit.
        at: What sets are removed from.

    Returns:
        The factor, for scores in their own unit.
    """
    estimand = attribution.estimand
    if isinstance(at, Bernoulli):
        point, lost = Point("subsets", at.p), 1.0
    else:
        point, lost = Point("weights", float(at)), float(at)
    slope = expected_slope(replace(estimand, point=point), estimand)
    lost /= replace(estimand, point=point).weight_lost
    per_weight = 1.0 if estimand.unit == "per_weight" else 1.0 / attribution.n_train
    return lost * per_weight * (1.0 if slope is None else slope)


def predicted_changes(
    attribution: Attribution, at: float | Bernoulli
) -> Float[Tensor, "train targets"]:
    """Return the change of the output when each example is removed, to first order."""
    return -removal_factor(attribution, at) * attribution.scores


def check_rows(attribution: Attribution, description: Description, name: str) -> None:
    """Raise unless an attribution's rows and columns are the problem's.

    Raises:
        ValueError: If labels differ.
    """
    for axis in ("train", "target"):
        ours = getattr(description, f"{axis}_labels")
        theirs = getattr(attribution, f"{axis}_labels")
        if ours != theirs:
            raise ValueError(
                f"{name} must have the problem's {len(ours)} {axis} labels in order, "
                f"got {len(theirs)} such as {theirs[0]!r}: align them with .restricted"
            )


def check_counts(ks: tuple[int, ...], n_train: int) -> None:
    """Raise ValueError unless counts are distinct and leave an example."""
    check_at_least(len(ks), 1, "number of ks")
    if len(set(ks)) != len(ks) or min(ks) < 1 or max(ks) >= n_train:
        raise ValueError(
            f"ks must be distinct numbers in [1, {n_train}), got {list(ks)}"
        )

"""Remove what an attribution says matters most, retrain, and compare."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dmtheory.applications.choosing import (
    Choice,
    check_counts,
    check_rows,
    order_of,
    predicted_changes,
    removal_factor,
)
from dmtheory.applications.removal_table import RemovalTable
from dmtheory.applications.retraining import Retrained, Sets, retrain_without
from dmtheory.attribution import Attribution
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress

Choices = Mapping[str, Attribution | Choice]


def remove_top(
    problem: Problem,
    choices: Choices,
    *,
    ks: Sequence[int],
    targets: Sequence[int | str] | None = None,
    side: str = "helpful",
    at: float | Bernoulli = 1.0,
    n_seeds: int = 10,
    seed: int = 0,
    engine: Engine | str | None = None,
    progress: Progress | None = None,
) -> RemovalTable:
    r"""Remove each target's top k examples by each attribution, and retrain.

    Predicted: -c sum_{i in A} score_i, to first order, c carrying the scores to where
    the set is removed from (`removal_factor`: p for a datamodel at p under `sum`, at
    w = 1). Actual: the change that retraining shows, models with and without a set
    sharing their seed. All sets of all choices, targets and ks are trained in one
    batch, each distinct one once.

    An attribution that chooses and predicts overstates its choice by its own errors;
    give `crossed(attribution)` to choose by one half of its models and predict by the
    other.

    Args:
        problem: The training map and its outputs.
        choices: Attributions by name, or who chooses and who predicts.
        ks: How many examples are removed at once, each below N.
        targets: Targets by number or label; all by default.
        side: "helpful" removes the largest scores, whatever their sign, "harmful" the
            smallest.
        at: Full data at a common weight, or a subset law (`retrain_without`).
        n_seeds: Training seeds at a point; one where training is deterministic.
        seed: The experiment's seed, none of the attributions'.
        engine: Where trainings run; in this process by default.
        progress: Called with the number of models that were just finished.

    Returns:
        One row a choice, k and target, with standard errors, slopes and differences.
    """
    chosen = as_choices(choices)
    columns = columns_of(problem, chosen, targets, seed)
    check_counts(tuple(ks), problem.description.n_train)
    sets = chosen_sets(chosen, columns, ks, side)
    retrained = retrain_without(
        problem,
        [members for by_k in sets for by_target in by_k for members in by_target],
        at=at,
        n_seeds=n_seeds,
        seed=seed,
        engine=engine,
        progress=progress,
    )
    return removal_table(retrained, chosen, ks=ks, targets=columns, side=side)


def removal_table(
    retrained: Retrained,
    choices: Choices,
    *,
    ks: Sequence[int],
    targets: Sequence[int],
    side: str = "helpful",
) -> RemovalTable:
    """Compare predictions with models that have been retrained already.

    Args:
        retrained: Models with and without all sets that the choices make.
        choices: Attributions by name, or who chooses and who predicts.
        ks: How many examples are removed at once.
        targets: Targets by number.
        side: "helpful" or "harmful".

    Returns:
        One row a choice, k and target.
    """
    chosen = as_choices(choices)
    sets = chosen_sets(chosen, targets, ks, side)
    actual = [
        [_of_targets(retrained, by_target, targets) for by_target in by_k]
        for by_k in sets
    ]
    foreseen, predicted, units = [], [], []
    for choice, own in zip(chosen.values(), sets, strict=True):
        by, said = choice.by, choice.predicted_by
        foreseen.append(_sums(predicted_changes(by, retrained.at), own, targets))
        changes = predicted_changes(said, retrained.at)
        predicted.append(_sums(changes, own, targets))
        units.append(_unit_sums(said, retrained.at, own, targets))
    labels = retrained.description.target_labels
    return RemovalTable(
        names=tuple(chosen),
        ks=tuple(ks),
        target_labels=tuple(labels[t] for t in targets),
        removed=sets,
        foreseen=torch.stack(foreseen),
        predicted=torch.stack(predicted),
        predicted_units=tuple(units),
        actual=torch.stack([torch.stack(by_k, 1) for by_k in actual], 1),
        deterministic=retrained.seed is None,
        n_models=retrained.n_models,
    )


def as_choices(choices: Choices) -> dict[str, Choice]:
    """Return every attribution as one that chooses and predicts.

    Raises:
        ValueError: If there is none.
    """
    if not choices:
        raise ValueError("choices must name at least one attribution, got none")
    return {
        name: found
        if isinstance(found, Choice)
        else Choice(by=found, predicted_by=found)
        for name, found in choices.items()
    }


def chosen_sets(
    choices: Mapping[str, Choice],
    targets: Sequence[int],
    ks: Sequence[int],
    side: str = "helpful",
) -> tuple[tuple[Sets, ...], ...]:
    """Return what each choice removes, by name, k and target."""
    found = []
    for choice in choices.values():
        orders = [order_of(choice.by, target, side).tolist() for target in targets]
        found.append(
            tuple(tuple(tuple(sorted(order[:k])) for order in orders) for k in ks)
        )
    return tuple(found)


def columns_of(
    problem: Problem,
    choices: Mapping[str, Choice],
    targets: Sequence[int | str] | None,
    seed: int,
) -> tuple[int, ...]:
    """Return the targets' numbers, after checking that everything fits together.

    Raises:
        ValueError: If labels differ, a target is unknown, or the retraining would use
            the seed of an attribution's own models.
    """
    description = problem.description
    for name, choice in choices.items():
        check_rows(choice.by, description, f"choices[{name!r}]")
        if seed in choice.by.seeds | choice.predicted_by.seeds:
            raise ValueError(
                f"seed must not be one of the attributions', got {seed} which made "
                f"{name!r}: predictions and outcomes must not share models"
            )
    first = next(iter(choices.values())).by
    wanted = range(description.n_targets) if targets is None else targets
    columns = tuple(first.target_number(target) for target in wanted)
    if not columns or len(set(columns)) != len(columns):
        raise ValueError(
            f"targets must be at least one and distinct, got {list(columns)}"
        )
    return columns


def _of_targets(
    retrained: Retrained, by_target: Sets, targets: Sequence[int]
) -> Tensor:
    """Return each target's change without its own set, [draws, targets]."""
    pairs = zip(by_target, targets, strict=True)
    return torch.stack([retrained.change(s)[:, t] for s, t in pairs], 1)


def _sums(changes: Tensor, sets: tuple[Sets, ...], targets: Sequence[int]) -> Tensor:
    """Return summed changes of each target's own set, [..., ks, targets]."""
    rows = [
        torch.stack(
            [
                changes[..., list(members), t].sum(-1)
                for members, t in zip(by_target, targets, strict=True)
            ],
            -1,
        )
        for by_target in sets
    ]
    return torch.stack(rows, -2)


def _unit_sums(
    attribution: Attribution,
    at: float | Bernoulli,
    sets: tuple[Sets, ...],
    targets: Sequence[int],
) -> Tensor | None:
    """Return the predictions of each unit; a single one where they are exact."""
    units = attribution.scores[None] if attribution.exact else attribution.units
    if units is None:
        return None
    return _sums(-removal_factor(attribution, at) * units, sets, targets)

"""Groups hidden in a class, so that finding them can be checked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.data.copies import check_real
from dmtheory.data.dataset import Dataset
from dmtheory.designs.seeds import Purpose, permutation

# Streams of the draw: training examples and targets are drawn apart.
_TRAIN, _TARGETS = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlantedGroups:
    """A data set one class of which has hidden groups, told apart by a mark each.

    Attributes:
        data: The data set.
        train_groups: The group of every training example, -1 where there is none.
        target_groups: The group of every target, -1 where there is none.
        label: The class that all of them are called.
    """

    data: Dataset
    train_groups: Int64[Tensor, " train"]
    target_groups: Int64[Tensor, " targets"]
    label: int


def plant_groups(
    data: Dataset,
    marks: Sequence[Sequence[int]],
    *,
    label: int,
    members: int,
    targets: int,
    value: float = 1.0,
    seed: int = 0,
) -> PlantedGroups:
    """Hide groups in a class: examples of other classes, marked and called it.

    Members look like what they were, so their features do not tell the groups; a model
    that gets them right has to know the marks. Held-out examples stay as they are.

    Args:
        data: A classification.
        marks: Features that are set to `value`, one sequence a group; features count
            along the flattened example.
        label: The class that members are called.
        members: Training examples a group, drawn from the other classes.
        targets: Targets a group, drawn likewise.
        value: What marked features are set to.
        seed: Seed of the draw.

    Returns:
        The changed data set and who is in which group.

    Raises:
        ValueError: If classes are no whole numbers, a mark is empty or no feature, or
            there are too few examples or targets of other classes.
    """
    check_real(data)
    if data.y_train.is_floating_point():
        raise ValueError(
            f"data must have whole classes, got {data.y_train.dtype}: groups are "
            "hidden in a class"
        )
    check_at_least(len(marks), 1, "number of marks")
    n_features = data.x_train[0].numel()
    for mark in marks:
        if not mark or not all(0 <= place < n_features for place in mark):
            raise ValueError(
                f"marks must be features in [0, {n_features}), at least one a group, "
                f"got {tuple(mark)}"
            )
    sizes = (("train", members, _TRAIN), ("target", targets, _TARGETS))
    fields: dict[str, Any] = {"name": f"{data.name}-groups"}
    groups: dict[str, Tensor] = {}
    for split, size, stream in sizes:
        y = getattr(data, f"y_{split}")
        groups[split] = _drawn(y, label, len(marks), size, stream, seed)
        fields |= _marked(data, split, groups[split], marks, label, value)
    return PlantedGroups(
        data=replace(data, **fields),
        train_groups=groups["train"],
        target_groups=groups["target"],
        label=label,
    )


def _drawn(
    y: Tensor, label: int, n_groups: int, size: int, stream: int, seed: int
) -> Int64[Tensor, " examples"]:
    """Return the group of every example, `size` members each, none of the class."""
    check_at_least(size, 1, "members and targets")
    others = (y != label).nonzero().squeeze(1)
    if len(others) < n_groups * size:
        raise ValueError(
            f"members and targets must find enough examples of other classes, got "
            f"{len(others)} for {n_groups} groups of {size}"
        )
    order = permutation(seed, Purpose.GROUP, stream, torch.arange(len(others)))
    chosen = others[order[: n_groups * size]]
    groups = torch.full((len(y),), -1)
    groups[chosen] = torch.arange(n_groups).repeat_interleave(size)
    return groups


def _marked(
    data: Dataset,
    split: str,
    groups: Tensor,
    marks: Sequence[Sequence[int]],
    label: int,
    value: float,
) -> dict[str, Any]:
    """Return the changed fields of a split."""
    names = [f"{axis}_{split}" for axis in ("x", "raw")]
    changed: dict[str, Any] = {}
    for name in names:
        features = getattr(data, name)
        if features is None or features[0].numel() != data.x_train[0].numel():
            continue
        flat = features.clone().flatten(1)
        for group, mark in enumerate(marks):
            members = (groups == group).nonzero()
            flat[members, torch.tensor(mark)] = value
        changed[name] = flat.view(features.shape)
    y = getattr(data, f"y_{split}")
    changed[f"y_{split}"] = torch.where(groups >= 0, label, y)
    labels = getattr(data, f"{split}_labels")
    changed[f"{split}_labels"] = tuple(
        name if group < 0 else f"{name} with mark {group}"
        for name, group in zip(labels, groups.tolist(), strict=True)
    )
    return changed

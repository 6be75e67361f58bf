"""Planted copies and groups: what was added, what stayed, and who trains on it."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from samples import table

from dmtheory.data import breast_cancer, digits
from dmtheory.data.copies import Copies, plant_copies
from dmtheory.data.hidden_groups import plant_groups

DIGITS = digits(n_train=60, n_targets=8)
MARKS = ((0, 8), (7, 15))


def test_exact_copies_come_last_and_everything_else_stays() -> None:
    planted = plant_copies(DIGITS, [Copies(target=5, k=3), Copies(target=2)])
    data = planted.data
    assert planted.rows == ((60, 61, 62), (63,))
    assert torch.equal(data.x_train[:60], DIGITS.x_train)
    assert torch.equal(data.y_train[:60], DIGITS.y_train)
    for rows, target in zip(planted.rows, (5, 2), strict=True):
        for row in rows:
            assert torch.equal(data.x_train[row], DIGITS.x_target[target])
            assert data.y_train[row] == DIGITS.y_target[target]
            assert DIGITS.target_labels[target] in data.train_labels[row]
    assert torch.equal(data.raw_train, data.x_train)
    assert torch.equal(data.x_target, DIGITS.x_target)
    assert torch.equal(data.x_held_out, DIGITS.x_held_out)
    assert data.digest != DIGITS.digest
    assert len(set(data.train_labels)) == data.n_train == 64


def test_noise_is_a_share_of_each_features_own_spread() -> None:
    data = table(400, 6, seed=1)
    scales = torch.tensor([0.0, 0.1, 1.0, 3.0, 10.0, 1.0]).double()
    data = replace(data, x_train=data.x_train * scales, x_target=data.x_target * scales)
    planted = plant_copies(data, [Copies(target=1, k=3000, noise=0.5)])
    moved = planted.data.x_train[400:] - data.x_target[1]
    assert not moved[:, 0].any()
    spread = data.x_train[:, 1:].std(0)
    # The standard deviation of 3000 normals is known to 1.3 %: 5 of those, 5 features.
    assert torch.allclose(
        moved[:, 1:].std(0) / spread, torch.tensor(0.5).double(), rtol=0.065
    )
    assert (moved[:, 1:].mean(0) / spread).abs().max() < 5 * 0.5 / 3000**0.5


def test_a_shorter_plan_has_the_same_copies() -> None:
    both = [Copies(target=3, k=2, noise=0.3), Copies(target=4, k=4, noise=0.3)]
    longer = plant_copies(DIGITS, both, seed=9)
    shorter = plant_copies(DIGITS, [Copies(target=4, k=2, noise=0.3)], seed=9)
    assert torch.equal(longer.data.x_train[62:64], shorter.data.x_train[60:])
    other = plant_copies(DIGITS, [Copies(target=4, k=2, noise=0.3)], seed=8)
    assert not torch.equal(other.data.x_train[60:], shorter.data.x_train[60:])


def test_ids_and_records_go_along() -> None:
    data = breast_cancer(n_train=30, n_targets=4)
    assert data.raw_target is not None
    data = replace(data, train_ids=torch.arange(30) * 7)
    planted = plant_copies(data, [Copies(target=1, k=2, noise=0.1)]).data
    assert planted.ids.tolist()[30:] == [204, 205]
    assert planted.raw_train is not None
    assert torch.equal(planted.raw_train[30:], data.raw_target[[1, 1]])


def test_groups_are_marked_and_called_the_class_and_nobody_else_is() -> None:
    planted = plant_groups(DIGITS, MARKS, label=8, members=5, targets=2, seed=3)
    data = planted.data
    splits: list[tuple[str, Any, int]] = [
        ("train", planted.train_groups, 5),
        ("target", planted.target_groups, 2),
    ]
    for split, groups, size in splits:
        old_x, new_x = (getattr(d, f"x_{split}") for d in (DIGITS, data))
        old_y, new_y = (getattr(d, f"y_{split}") for d in (DIGITS, data))
        assert torch.bincount(groups + 1).tolist() == [
            len(old_x) - 2 * size,
            size,
            size,
        ]
        outside = groups < 0
        assert torch.equal(new_x[outside], old_x[outside])
        assert torch.equal(new_y[outside], old_y[outside])
        assert bool((new_y[~outside] == 8).all())
        assert not bool((old_y[~outside] == 8).any())
        for group, mark in enumerate(MARKS):
            expected = old_x[groups == group].clone()
            expected[:, list(mark)] = 1.0
            assert torch.equal(new_x[groups == group], expected)
        labels = getattr(data, f"{split}_labels")
        assert ["mark" in label for label in labels] == (~outside).tolist()
    assert torch.equal(data.raw_train, data.x_train)
    assert torch.equal(data.y_held_out, DIGITS.y_held_out)
    again = plant_groups(DIGITS, MARKS, label=8, members=5, targets=2, seed=4)
    assert not torch.equal(again.train_groups, planted.train_groups)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda: Copies(target=0, k=0), "k must be at least 1"),
        (lambda: Copies(target=0, noise=-0.1), "noise must be finite and >= 0"),
        (lambda: plant_copies(DIGITS, []), "plan must name at least one target"),
        (
            lambda: plant_copies(DIGITS, [Copies(target=1), Copies(target=1)]),
            "each once",
        ),
        (lambda: plant_copies(DIGITS, [Copies(target=8)]), r"targets in \[0, 8\)"),
        (
            lambda: plant_copies(
                replace(
                    DIGITS,
                    **{f"x_{s}": torch.ones(n, 2).long() for s, n in _sizes().items()},
                ),
                [Copies(target=1)],
            ),
            "real features",
        ),
        (
            lambda: plant_groups(DIGITS, ((64,),), label=1, members=2, targets=1),
            r"features in \[0, 64\)",
        ),
        (
            lambda: plant_groups(DIGITS, ((),), label=1, members=2, targets=1),
            "at least one a group",
        ),
        (
            lambda: plant_groups(DIGITS, MARKS, label=1, members=2, targets=5),
            "enough examples of other classes",
        ),
        (
            lambda: plant_groups(
                table(9, 2, seed=1), MARKS, label=1, members=1, targets=1
            ),
            "whole classes",
        ),
    ],
)
def test_what_cannot_be_planted(wrong: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        wrong()


def _sizes() -> dict[str, int]:
    return {
        split: len(getattr(DIGITS, f"x_{split}"))
        for split in ("train", "target", "held_out")
    }

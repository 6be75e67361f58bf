"""Ready data sets: their splits, labels and digests."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from dmtheory.data import Dataset, Split, breast_cancer, diabetes, digits

LOADERS: list[tuple[Callable[..., Dataset], Any]] = [
    (digits, load_digits),
    (breast_cancer, load_breast_cancer),
    (diabetes, lambda: load_diabetes(scaled=False)),
]
each_table = pytest.mark.parametrize(
    ("make", "load"), LOADERS, ids=lambda f: getattr(f, "__name__", "")
)


@each_table
def test_rows_carry_their_own_features_and_labels(make: Any, load: Any) -> None:
    data, table = make(n_train=40, n_targets=7), load()
    n_rows = len(table.data)
    rows: list[int] = []
    for raw, labels in (
        (data.raw_train, data.train_labels),
        (data.raw_target, data.target_labels),
    ):
        numbers = [int(label.split()[1]) for label in labels]
        scale = 16 if make is digits else 1
        np.testing.assert_allclose(raw * scale, table.data[numbers])
        rows += numbers
    assert len(set(rows)) == 47
    assert len(data.x_held_out) == n_rows - 47
    assert data.x_train.dtype == torch.float64
    assert len(data.feature_names) == data.x_train.shape[1]


@each_table
def test_a_larger_training_set_keeps_the_targets_and_contains_the_smaller(
    make: Any, load: Any
) -> None:
    small, large = make(n_train=20, n_targets=5), make(n_train=60, n_targets=5)
    assert small.target_labels == large.target_labels
    assert set(small.train_labels) < set(large.train_labels)
    assert make(n_train=20, n_targets=5, seed=1).train_labels != small.train_labels


@pytest.mark.parametrize("make", [breast_cancer, diabetes])
def test_features_are_standardised_on_the_training_rows(make: Any) -> None:
    data = make(n_train=50)
    torch.testing.assert_close(
        data.x_train[:, :-1].mean(0), torch.zeros_like(data.x_train[0, :-1])
    )
    torch.testing.assert_close(
        data.x_train[:, :-1].std(0), torch.ones_like(data.x_train[0, :-1])
    )
    assert bool((data.x_train[:, -1] == 1).all())
    assert data.feature_names[-1] == "intercept"


def test_the_digest_sees_all_that_training_and_measuring_see() -> None:
    data = diabetes(n_train=20, n_targets=3)
    changes: list[dict[str, Any]] = [
        {"x_train": data.x_train + 1},
        {"y_train": data.y_train + 1},
        {"x_target": data.x_target + 1},
        {"y_target": data.y_target + 1},
        {"train_labels": data.train_labels[::-1]},
    ]
    digests = {data.digest, *(replace(data, **change).digest for change in changes)}
    assert len(digests) == 6
    assert diabetes(n_train=20, n_targets=3).digest == data.digest


def test_a_split_is_a_partition() -> None:
    split = Split.random(30, n_train=12, n_targets=5, seed=0)
    rows = torch.cat([split.train, split.target, split.held_out]).tolist()
    assert sorted(rows) == list(range(30))
    assert (len(split.train), len(split.target)) == (12, 5)


@pytest.mark.parametrize(("n_train", "n_targets"), [(0, 5), (5, 0), (6, 4)])
def test_a_split_with_an_empty_part_is_refused(n_train: int, n_targets: int) -> None:
    with pytest.raises(ValueError, match=r"below the 10 rows .* each at least 1, got"):
        Split.random(10, n_train=n_train, n_targets=n_targets, seed=0)


@pytest.mark.parametrize(
    "change",
    [
        {"y_train": torch.ones(1).double()},
        {"y_train": torch.ones(19, 1).double()},
        {"train_labels": ("only one",)},
        {"x_train": torch.full((20, 11), torch.nan).double()},
    ],
    ids=["one response", "column", "one label", "NaN"],
)
def test_parts_that_do_not_fit_together_are_refused(change: dict[str, Any]) -> None:
    data = diabetes(n_train=20, n_targets=3)
    with pytest.raises((ValueError, TypeError)):
        replace(data, **change)

"""Set functions and black boxes: problems that are their own truth."""

from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import no_seeds, normal, unchecked, weight_rows
from torch import Tensor

from dmtheory.problems import (
    BlackBox,
    Description,
    SampleMean,
    SetFunction,
    and_of_examples,
    or_of_duplicates,
)
from dmtheory.problems.set_functions import Bent, all_masks, nearest_neighbour


@given(n_train=st.integers(1, 5), seed=st.integers(0, 1000))
def test_the_extension_is_the_expectation_over_random_subsets(
    n_train: int, seed: int
) -> None:
    values = normal(2**n_train, 2, seed=seed)
    weights = weight_rows(3, n_train, seed=seed) / 2
    found = SetFunction(values=values).respond(weights, no_seeds(3))
    for w, row in zip(weights.tolist(), found, strict=True):
        expected = torch.zeros(2).double()
        for subset in product((0, 1), repeat=n_train):
            chance = 1.0
            for share, inside in zip(w, subset, strict=True):
                chance *= share if inside else 1 - share
            number = sum(inside << i for i, inside in enumerate(subset))
            expected += chance * values[number]
        torch.testing.assert_close(row, expected, rtol=0, atol=1e-12)


def test_the_extension_at_a_vertex_is_the_value_there() -> None:
    values = normal(16, 3, seed=1)
    masks = all_masks(4)
    assert torch.equal(SetFunction(values=values).respond(masks, no_seeds(16)), values)
    assert sorted(map(tuple, masks.tolist())) == sorted(
        map(tuple, torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).tolist())
    )


@pytest.mark.parametrize("k", [1, 2, 4])
def test_or_and_and_say_whether_any_or_all_are_there(k: int) -> None:
    masks = all_masks(4)
    for make, rule in ((or_of_duplicates, any), (and_of_examples, all)):
        values = make(4, k).values.flatten().tolist()
        assert values == [float(rule(row[:k])) for row in masks.bool().tolist()]


@pytest.mark.parametrize("n_rows", [1, 3, 6, 2**15])
def test_a_table_that_is_no_set_function_is_refused(n_rows: int) -> None:
    with pytest.raises(ValueError, match=r"values must have 2\^N rows .* got"):
        SetFunction(values=torch.zeros(n_rows, 1).double())


def test_a_table_with_a_hole_is_refused() -> None:
    values = torch.zeros(4, 1).double()
    values[2, 0] = torch.nan
    with pytest.raises(ValueError, match=r"values must be finite, got nan .* \(2, 0\)"):
        SetFunction(values=values)


@pytest.mark.parametrize("n_train", [0, 15])
def test_too_many_subsets_are_refused(n_train: int) -> None:
    with pytest.raises(ValueError, match=f"n_train must be at .* got {n_train}"):
        all_masks(n_train)


def described(**changes: Any) -> Description:
    stated: dict[str, Any] = {
        "name": "made-up",
        "digest": "made-up",
        "output": "sum",
        "normalisation": "count",
        "step_policy": "fixed",
        "train_labels": ("a", "b", "c"),
        "target_labels": ("x", "y"),
    }
    return Description(**{**stated, **changes})


def test_a_black_box_answers_what_its_function_answers() -> None:
    def answer(weights: Tensor, seeds: Tensor) -> Tensor:
        return torch.stack([weights.sum(1), seeds.double()], dim=1)

    box = BlackBox(description=described(), train_and_measure=answer)
    outputs = box.respond(torch.ones(2, 3).double(), torch.tensor([5, 6]))
    assert outputs.tolist() == [[3.0, 5.0], [3.0, 6.0]]


def test_a_black_box_that_answers_in_another_shape_is_refused() -> None:
    box = BlackBox(
        description=described(), train_and_measure=lambda weights, seeds: weights
    )
    with pytest.raises(ValueError, match=r"return shape \(4, 2\) .* got \(4, 3\)"):
        box.respond(torch.ones(4, 3).double(), no_seeds(4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_labels": ()}, "train_labels must not be empty"),
        ({"target_labels": ("x", "x")}, "target_labels must be unique"),
        ({"normalisation": "batch_sum"}, "normalisation must be one of sum, count"),
        ({"step_policy": "early"}, "step_policy must be one of fixed, proportional"),
    ],
)
def test_a_description_that_identifies_nothing_is_refused(
    change: dict[str, Any], message: str
) -> None:
    with unchecked(), pytest.raises(ValueError, match=message):
        described(**change)


def test_counts_are_those_of_the_labels() -> None:
    assert described().n_train == 3
    assert described().n_targets == 2
    assert SampleMean(values=torch.ones(4)).description.n_train == 4
    assert or_of_duplicates(3, 2).description.n_train == 3


def test_the_nearest_example_that_is_there_decides() -> None:
    distances = torch.tensor([0.5, 0.1, 0.1]).double()
    labels = torch.tensor([3.0, 1.0, 2.0]).double()
    found = nearest_neighbour(distances, labels).values[:, 0]
    # Subsets in binary: {}, {0}, {1}, {0,1}, {2}, {0,2}, {1,2}, all.
    assert found.tolist() == [0, 3, 1, 1, 2, 2, 1, 1]


def test_a_bent_response_keeps_its_vertices_and_moves_between_them() -> None:
    base = SetFunction(values=normal(2**3, 2, seed=3))
    bent = Bent(base=base, bend=0.5)
    masks, seeds = all_masks(3), torch.zeros(8, dtype=torch.int64)
    assert torch.equal(bent.respond(masks, seeds), base.values)
    inside = torch.full((1, 3), 0.5, dtype=torch.float64)
    gap = bent.respond(inside, seeds[:1]) - base.respond(inside, seeds[:1])
    torch.testing.assert_close(gap, torch.full((1, 2), 0.375).double())
    assert bent.description.digest != base.description.digest

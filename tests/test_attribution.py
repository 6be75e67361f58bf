"""The result type: units, rows and columns, rankings, refusals."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import an_attribution, normal, unchecked

from dmtheory import Attribution


def full(n_train: int = 7, n_targets: int = 3) -> Attribution:
    units = normal(6, n_train, n_targets, seed=0)
    return an_attribution(
        units.mean(0), units=units, stderr=units.std(0) / 6**0.5, n_train=n_train
    )


@given(n_train=st.integers(7, 10**6))
def test_an_epsilon_is_n_weights(n_train: int) -> None:
    before = an_attribution(
        full().scores, units=full().units, stderr=full().stderr, n_train=n_train
    )
    after = before.in_unit("per_epsilon")
    back = after.in_unit("per_weight")
    assert after.estimand.unit == "per_epsilon"
    assert back.estimand == before.estimand
    for name in ("scores", "stderr", "units"):
        here = getattr(before, name)
        assert torch.equal(getattr(after, name), n_train * here)
        # Two roundings: 1/N and the product.
        torch.testing.assert_close(getattr(back, name), here, rtol=5e-16, atol=0)
    assert before.in_unit("per_weight") is before


def test_a_negative_factor_turns_scores_and_leaves_errors_positive() -> None:
    before = full()
    after = before.scaled(-2.0)
    assert torch.equal(after.scores, -2 * before.scores)
    assert after.stderr is not None
    assert before.stderr is not None
    assert torch.equal(after.stderr, 2 * before.stderr)
    assert after.units is not None
    torch.testing.assert_close(after.units.mean(0), after.scores)


def test_removal_is_predicted_by_minus_the_score_per_weight_in_any_unit() -> None:
    before = full()
    assert torch.equal(before.predict_removal(), -before.scores)
    torch.testing.assert_close(
        before.in_unit("per_epsilon").predict_removal(),
        -before.scores,
        rtol=1e-15,
        atol=0,
    )


def test_restriction_picks_rows_and_columns_by_name_in_the_order_given() -> None:
    before = full()
    after = before.restricted(
        train=["row 5", "row 0"], targets=["question 2", "question 1"]
    )
    assert after.train_labels == ("row 5", "row 0")
    assert after.target_labels == ("question 2", "question 1")
    assert after.n_train == 7
    for i, row in enumerate((5, 0)):
        for j, column in enumerate((2, 1)):
            assert after.scores[i, j] == before.scores[row, column]
            assert after.stderr is not None
            assert before.stderr is not None
            assert after.stderr[i, j] == before.stderr[row, column]
            assert after.units is not None
            assert before.units is not None
            assert torch.equal(after.units[:, i, j], before.units[:, row, column])
    # Units are per weight of the whole problem, however few rows are left.
    assert torch.equal(
        after.in_unit("per_epsilon").scores,
        before.in_unit("per_epsilon").scores[[5, 0]][:, [2, 1]],
    )


def test_restriction_to_a_target_keeps_its_own_intercept() -> None:
    from dataclasses import replace

    before = replace(full(), intercept=torch.tensor([1.0, 2.0, 3.0]).double())
    after = before.restricted(targets=["question 2", "question 0"])
    assert after.intercept is not None
    assert after.intercept.tolist() == [3.0, 1.0]
    assert after.train_labels == before.train_labels


@pytest.mark.parametrize("axis", ["train", "targets"])
def test_restriction_to_an_unknown_label_is_refused(axis: str) -> None:
    with pytest.raises(ValueError, match=f"{axis} must be among the .* got 'nobody'"):
        full().restricted(**{axis: ["nobody"]})


def column(*scores: float, stderr: float | None = None) -> Attribution:
    matrix = torch.tensor(scores).double()[:, None]
    return an_attribution(
        matrix, stderr=None if stderr is None else torch.full_like(matrix, stderr)
    )


def test_the_ranking_has_the_largest_scores_of_each_sign() -> None:
    ranking = column(0.5, -2.0, 3.0, 0.0, -1.0, 1.0, stderr=0.25).top(0, k=2)
    assert ranking.target == "question 0"
    assert [(e.label, e.score) for e in ranking.helpful] == [
        ("row 2", 3.0),
        ("row 5", 1.0),
    ]
    assert [(e.label, e.score) for e in ranking.harmful] == [
        ("row 1", -2.0),
        ("row 4", -1.0),
    ]
    assert {e.stderr for e in (*ranking.helpful, *ranking.harmful)} == {0.25}


def test_a_ranking_is_shorter_where_fewer_scores_have_that_sign() -> None:
    ranking = column(0.0, 2.0, 0.0).top("question 0", k=5)
    assert [e.label for e in ranking.helpful] == ["row 1"]
    assert ranking.harmful == ()
    assert ranking.helpful[0].stderr is None


def test_tied_scores_are_ranked_the_same_way_every_time() -> None:
    ranking = column(1.0, -1.0, 1.0, -1.0, 1.0).top(0, k=2)
    assert [e.label for e in ranking.helpful] == ["row 0", "row 2"]
    assert {e.label for e in ranking.harmful} == {"row 1", "row 3"}


@pytest.mark.parametrize(
    ("target", "k", "message"),
    [
        (1, 3, r"target must lie in \[0, 1\), got 1"),
        (-1, 3, r"target must lie in \[0, 1\), got -1"),
        ("nobody", 3, "target must be among the 1 labels such as 'question 0'"),
        (0, 0, "k must be at least 1, got 0"),
    ],
)
def test_a_ranking_that_cannot_be_made_is_refused(
    target: int | str, k: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        column(1.0, 2.0).top(target, k)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": torch.zeros(3, 2)}, r"scores must have shape \(4, 2\) .* \(3, 2\)"),
        ({"stderr": torch.zeros(4, 3)}, r"stderr must end in shape \(4, 2\), got"),
        ({"units": torch.zeros(5, 3, 2)}, r"units must end in shape \(4, 2\), got"),
        ({"n_train": 3}, "n_train must be at least 4, got 3"),
    ],
)
def test_parts_of_another_shape_are_refused(
    change: dict[str, Any], message: str
) -> None:
    whole = {
        "scores": torch.zeros(4, 2),
        "estimand": full().estimand,
        "train_labels": ("a", "b", "c", "d"),
        "target_labels": ("x", "y"),
        "n_train": 4,
    }
    with unchecked(), pytest.raises(ValueError, match=message):
        Attribution(**{**whole, **change})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_not_finite_are_refused_with_their_place(bad: float) -> None:
    scores = torch.zeros(4, 2).double()
    scores[2, 1] = bad
    with pytest.raises(ValueError, match=rf"scores .* {bad} at index \(2, 1\)"):
        an_attribution(scores)


def test_scores_are_exact_only_where_all_errors_are_known_to_be_zero() -> None:
    assert column(1.0, stderr=0.0).exact
    assert not column(1.0, stderr=0.1).exact
    assert not column(1.0).exact

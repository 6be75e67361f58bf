"""Copies among an attribution's first examples, counted by hand."""

from typing import Any

import pytest
import torch
from samples import an_attribution, normal

from dmtheory.applications import at_random, copies_found, recall_difference

# Target 0 ranks 3, 1, 0, 2; target 1 ranks 2, 3, 1, 0; target 2 ranks 0, 1, 2, 3.
SCORES = torch.tensor([
    [0.1, -3.0, 4.0],
    [0.5, 0.0, 3.0],
    [-0.2, 9.0, 2.0],
    [2.0, 1.0, 1.0],
]).double()


def test_hits_precision_and_recall_by_hand() -> None:
    copies = {0: (3, 1), 1: (0, 1, 2), 2: (3,)}
    found = copies_found(an_attribution(SCORES), copies)
    assert found.target_labels == ("question 0", "question 1", "question 2")
    assert found.n_hits.tolist() == [2, 2, 0]
    assert torch.equal(found.precision, found.recall)
    assert found.recall.tolist() == pytest.approx([1, 2 / 3, 0])
    two = copies_found(an_attribution(SCORES), copies, top=2)
    assert two.n_hits.tolist() == [2, 1, 0]
    assert two.precision.tolist() == pytest.approx([1, 1 / 2, 0])
    assert two.recall.tolist() == pytest.approx([1, 1 / 3, 0])
    every = copies_found(an_attribution(SCORES), copies, top=9)
    assert every.n_taken.tolist() == [4, 4, 4]
    assert every.recall.tolist() == [1, 1, 1]
    # Negative scores first finds what helps least.
    flipped = copies_found(an_attribution(-SCORES), copies)
    assert flipped.n_hits.tolist() == [0, 2, 1]


def test_targets_may_come_in_any_order() -> None:
    found = copies_found(an_attribution(SCORES), {2: (0,), 0: (0,)})
    assert found.target_labels == ("question 2", "question 0")
    assert found.n_hits.tolist() == [1, 0]


def test_means_are_over_targets_and_differences_are_paired() -> None:
    # 200 targets with a copy each, at place 0; one scorer finds it for 3 of 4.
    scores = normal(20, 200, seed=1)
    scores[0] = torch.where(torch.arange(200) % 4 > 0, 10.0, -10.0)
    copies: Any = dict.fromkeys(range(200), (0,))
    good = copies_found(an_attribution(scores), copies)
    mean = good.mean_recall()
    assert mean.value == 0.75
    error = 0.75**0.5 / 2 / 200**0.5
    assert mean.high - mean.low == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert good.mean_recall(range(0, 200, 4)).value == 0
    assert good.mean_precision().value == 0.75
    # The same scorer is no better than itself, without any doubt.
    assert recall_difference(good, good).low == recall_difference(good, good).high == 0
    poor = copies_found(at_random(an_attribution(scores)), copies)
    gap = recall_difference(good, poor)
    assert gap.value == pytest.approx(0.75 - poor.mean_recall().value)
    assert gap.low > 0 > recall_difference(poor, good).high


@pytest.mark.parametrize(
    ("copies", "more", "named"),
    [
        ({}, {}, "number of targets with copies"),
        ({0: ()}, {}, "number of copies of target 0"),
        ({0: (4,)}, {}, r"copies of target 0 must lie in \[0, 4\)"),
        ({3: (0,)}, {}, r"target must lie in \[0, 3\)"),
        ({0: (0,)}, {"top": 0}, "top must be at least 1"),
    ],
)
def test_what_cannot_be_looked_for(copies: Any, more: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        copies_found(an_attribution(SCORES), copies, **more)


def test_what_cannot_be_compared() -> None:
    attribution = an_attribution(SCORES)
    part = attribution.restricted(train=attribution.train_labels[:2])
    with pytest.raises(ValueError, match="a row for each of the 4 training examples"):
        copies_found(part, {0: (0,)})
    one, two = (copies_found(attribution, {0: rows}) for rows in ((0,), (0, 1)))
    with pytest.raises(ValueError, match="same copies of the same targets"):
        recall_difference(one, two)
    with pytest.raises(ValueError, match="at least 4 for an interval"):
        one.mean_recall()

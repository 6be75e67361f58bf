"""Removing the top examples: what is chosen, predicted, seen, and how sure one is."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from made_up import Additive
from samples import an_attribution, normal

from dmtheory import Attribution, Point
from dmtheory.applications import Choice, at_random, crossed, remove_top
from dmtheory.applications.choosing import removal_factor
from dmtheory.designs import Bernoulli

N_TRAIN, N_TARGETS = 30, 12
GAINS = normal(N_TRAIN, N_TARGETS, seed=1)
PROBLEM = Additive(gains=GAINS)


def the_truth(**changes: Any) -> Attribution:
    return an_attribution(
        GAINS,
        stderr=torch.zeros_like(GAINS),
        quantity="response derivative",
        point=Point("weights", 1.0),
        **changes,
    )


def estimated(noise: float, seed: int, n_units: int = 20) -> Attribution:
    """The truth measured with independent units, each of that noise."""
    units = GAINS + noise * normal(n_units, N_TRAIN, N_TARGETS, seed=seed)
    return an_attribution(
        units.mean(0),
        units=units,
        stderr=units.std(0) / n_units**0.5,
        point=Point("weights", 1.0),
        seeds=frozenset({99}),
    )


@pytest.mark.parametrize("side", ["helpful", "harmful"])
def test_an_additive_problem_changes_as_predicted(side: str) -> None:
    found = remove_top(PROBLEM, {"truth": the_truth()}, ks=(1, 4), side=side, seed=5)
    sign = 1 if side == "helpful" else -1
    for row in found.rows():
        column = found.target_labels.index(row.target)
        best = torch.argsort(sign * GAINS[:, column], descending=True)[: row.k]
        assert set(row.removed) == set(best.tolist())
        assert row.predicted == pytest.approx(-GAINS[best, column].sum().item())
        assert row.actual == pytest.approx(row.predicted, abs=1e-9)
        assert row.predicted_stderr == 0
        assert row.stderr == pytest.approx(0, abs=1e-9)
    slope = found.slope(["truth"], 4)
    assert slope.low == pytest.approx(1) == slope.high
    assert found.correlation(["truth"], 1).value == pytest.approx(1)


def test_all_choices_go_into_one_batch_each_set_once() -> None:
    seen: list[Any] = []
    problem = Additive(gains=GAINS, seen=seen)
    choices = {"a": the_truth(), "b": the_truth(), "random": at_random(the_truth())}
    found = remove_top(problem, choices, ks=(1, 2), targets=[0, 3], n_seeds=3)
    # Two targets' sets by two ks, of which two alike choosers; one random set a k.
    assert found.n_models == len(seen) == 3 * (1 + 4 + 2)
    assert found.target_labels == ("question 0", "question 3")
    assert torch.equal(found.actual[:, 0], found.actual[:, 1])
    assert found.removed[2][1][0] == found.removed[2][1][1]


def test_targets_go_by_label_too_and_rows_have_paired_errors() -> None:
    problem = Additive(gains=GAINS, noise=30.0, of_sets=0.5)
    attribution = estimated(0.3, seed=4)
    found = remove_top(
        problem, {"e": attribution}, ks=(3,), targets=["question 7"], n_seeds=6, seed=2
    )
    row = found.rows()[0]
    rows = list(row.removed)
    unit_sums = -attribution.units[:, rows, 7].sum(1)  # type: ignore[index]
    assert row.predicted == pytest.approx(unit_sums.mean().item())
    assert row.predicted_stderr == pytest.approx(unit_sums.std().item() / 20**0.5)
    changes = found.actual[:, 0, 0, 0]
    assert row.stderr == pytest.approx(changes.std().item() / 6**0.5)
    # The noise of the seed alone has a spread of 8.7; none of it is left.
    assert 0 < row.stderr < 0.5
    with pytest.raises(ValueError, match="at least 4 for an interval"):
        found.mean_change("e", 3)


@pytest.mark.parametrize(
    ("stated", "at", "factor"),
    [
        ({"point": Point("subsets", 0.5)}, 1.0, 0.5),
        ({"point": Point("subsets", 0.5)}, Bernoulli(p=0.5, n_models=2), 1.0),
        ({"point": Point("subsets", 0.5)}, Bernoulli(p=0.2, n_models=2), 2.5),
        ({"point": Point("weights", 1.0)}, 1.0, 1.0),
        # At c·1 the derivative is 1/c times as large, and the weight lost c.
        ({"point": Point("weights", 1.0)}, 0.25, 1.0),
        ({"point": Point("weights", 0.25)}, 0.25, 0.25),
        ({"point": Point("subsets", 0.5), "normalisation": "count"}, 1.0, 1.0),
        ({"point": Point("weights", 1.0), "unit": "per_epsilon"}, 1.0, 1 / N_TRAIN),
        # A removal's effect already is that of the weight lost there.
        ({"point": Point("weights", 1.0), "quantity": "leave-one-out"}, 0.25, 1.0),
        ({"point": Point("weights", 0.25), "quantity": "leave-one-out"}, 0.25, 1.0),
        ({"point": Point("weights", 0.25), "quantity": "leave-one-out"}, 1.0, 1.0),
    ],
)
def test_scores_are_carried_to_where_sets_are_removed(
    stated: Any, at: Any, factor: float
) -> None:
    assert removal_factor(an_attribution(GAINS, **stated), at) == pytest.approx(factor)


def test_crossing_undoes_noise_and_selection_where_one_estimate_is_misled() -> None:
    # Averaged over 40 studies of 12 targets; the error of the mean is below .01.
    problem = Additive(gains=GAINS, noise=0.0)
    naive, fair = [], []
    for seed in range(40):
        estimate = estimated(3.0, seed=seed)
        first, second = crossed(estimate)
        choices = {"whole": estimate, "first": first, "second": second}
        found = remove_top(problem, choices, ks=(4,), n_seeds=1, seed=1)
        naive.append(found.slope(["whole"], 4).value)
        fair.append(found.slope(["first", "second"], 4).value)
    assert sum(naive) / 40 < 0.9
    assert sum(fair) / 40 == pytest.approx(1, abs=0.03)


def covered(unit_errors: Any, n_studies: int) -> int:
    """Return how many studies' intervals of the slope hold 1."""
    inside = 0
    for seed in range(n_studies):
        gains = normal(N_TRAIN, N_TARGETS, seed=1000 + seed)
        problem = Additive(gains=gains, noise=0.0, of_sets=0.5)
        units = unit_errors(gains, 5000 + seed)
        estimate = an_attribution(
            units.mean(0), units=units, point=Point("weights", 1.0)
        )
        first, second = crossed(estimate)
        found = remove_top(problem, {"1": first, "2": second}, ks=(3,), seed=seed)
        slope = found.slope(["1", "2"], 3, seed=seed)
        inside += slope.low <= 1 <= slope.high
    return inside


def test_the_interval_covers_errors_that_all_targets_share() -> None:
    # A unit that is 40 % too large is so everywhere: targets alone would not show it.
    # Of 80 at .95, fewer than 68 has a probability of 4e-4.
    def too_large(gains: Any, seed: int) -> Any:
        return gains * (1 + 0.4 * normal(20, 1, 1, seed=seed))

    assert 68 <= covered(too_large, 80)


def test_the_interval_covers_errors_of_each_target_and_more() -> None:
    # Errors that no two targets share are seen in targets and in units, so that the
    # interval is too wide. Of 60 at .95, fewer than 51 has a probability of 1e-3.
    def errors(gains: Any, seed: int) -> Any:
        return gains + 2 * normal(20, N_TRAIN, N_TARGETS, seed=seed)

    assert 51 <= covered(errors, 60)


def test_means_and_differences_are_over_targets() -> None:
    choices = {"truth": the_truth(), "random": at_random(the_truth())}
    found = remove_top(PROBLEM, choices, ks=(2, 5), n_seeds=2, seed=3)
    truth = -GAINS.topk(5, dim=0).values.sum(0)
    mean = found.mean_change("truth", 5)
    assert mean.value == pytest.approx(truth.mean().item())
    error = truth.std().item() / N_TARGETS**0.5
    # A bootstrap of 12 is narrower than the normal law by sqrt(11/12).
    assert mean.high - mean.low == pytest.approx(2 * 1.96 * error, rel=0.15)
    gap = found.difference("truth", "random", 5)
    assert gap.value == pytest.approx(mean.value - found.mean_change("random", 5).value)
    assert gap.high < 0
    back = found.difference("random", "truth", 5)
    assert back.value == pytest.approx(-gap.value)


def test_superadditive_sets_have_a_slope_above_one() -> None:
    # F = u + b u^2: removing d from u changes it by -d(1 + 2 b u) + b d^2.
    total = GAINS.sum(0)
    problem = Additive(gains=GAINS, bend=-0.05, noise=0.0)
    slopes = 1 - 0.1 * total
    scores = GAINS * slopes
    exact = an_attribution(
        scores, stderr=torch.zeros_like(scores), point=Point("weights", 1.0)
    )
    found = remove_top(problem, {"d": exact}, ks=(1, 5), n_seeds=1)
    removed = [
        [GAINS[list(members), t].sum() for t, members in enumerate(by_target)]
        for by_target in found.removed[0]
    ]
    d = torch.tensor(removed).double()
    expected = -d * slopes - 0.05 * d**2
    torch.testing.assert_close(found.actual[0, 0], expected)


@pytest.mark.parametrize(
    ("choices", "more", "named"),
    [
        ({}, {}, "choices must name at least one"),
        ({"a": the_truth()}, {"ks": ()}, "number of ks"),
        ({"a": the_truth()}, {"ks": (0,)}, r"ks must be distinct numbers in \[1, 30\)"),
        ({"a": the_truth()}, {"ks": (30,)}, "ks must be distinct"),
        ({"a": the_truth()}, {"targets": [0, 0]}, "targets must be at least one"),
        ({"a": the_truth()}, {"targets": ["nobody"]}, "'nobody'"),
        ({"a": the_truth()}, {"side": "left"}, "side must be one of helpful, harmful"),
        ({"a": estimated(1.0, 0)}, {"seed": 99}, "must not share models"),
        (
            {"a": the_truth().restricted(targets=["question 1"])},
            {},
            "problem's 12 target labels",
        ),
    ],
)
def test_what_cannot_be_asked(choices: Any, more: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        remove_top(PROBLEM, choices, **{"ks": (1,), **more})


def test_what_cannot_be_crossed() -> None:
    few = estimated(1.0, 0, n_units=7)
    with pytest.raises(ValueError, match="at least 8 units to be halved, got 7"):
        crossed(few)
    with pytest.raises(ValueError, match="at least 8 units to be halved, got 0"):
        crossed(replace(few, units=None))
    with pytest.raises(ValueError, match="predicted_by must have the train_labels"):
        Choice(by=few, predicted_by=few.restricted(train=["row 1"]))
    assert Choice(by=few, predicted_by=replace(few)).independent
    assert not Choice(by=few, predicted_by=few).independent

"""Agreement: slopes and correlations of noisy estimates, and their intervals."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import an_attribution, normal
from scipy.stats import spearmanr
from torch import Tensor

from dmtheory import Attribution, Interval, Point, agreement
from dmtheory.agreement import statistics
from dmtheory.agreement.bootstrap import bootstrap, split


def of(first: Tensor, second: Tensor) -> statistics.Split:
    """Return two halves with their mean."""
    return statistics.Split((first + second) / 2, first, second)


def noisy(
    truth: Tensor, *, noise: float, n_units: int = 20, seed: int, **changes: Any
) -> Attribution:
    """Return an estimate whose mean over units has that noise."""
    errors = normal(n_units, *truth.shape, seed=seed)
    units = truth + noise * math.sqrt(n_units) * errors
    return an_attribution(
        units.mean(0),
        units=units,
        stderr=units.std(0) / math.sqrt(n_units),
        seeds=frozenset({seed}),
        **changes,
    )


def exact(truth: Tensor, **changes: Any) -> Attribution:
    return an_attribution(truth, stderr=torch.zeros_like(truth), **changes)


def noisy_halves(truth: Tensor, *, noise: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return two independent halves whose mean has that noise."""
    reach = noise * math.sqrt(2)
    first = truth + reach * normal(*truth.shape, seed=seed)
    return first, truth + reach * normal(*truth.shape, seed=seed + 1)


def test_noise_as_large_as_the_signal_halves_the_naive_slope_alone() -> None:
    # True slope 2. Over 100,000 scores the naive slope has sigma .008 and the one
    # with errors in variables .02: five sigma, false alarm 6e-7 each.
    truth = normal(20_000, 5, seed=0)
    b1, b2 = noisy_halves(truth, noise=1.0, seed=1)
    naive = statistics.naive_slope(2 * truth, (b1 + b2) / 2).item()
    corrected = statistics.errors_in_variables_slope(
        of(2 * truth, 2 * truth), of(b1, b2)
    ).item()
    assert naive == pytest.approx(1.0, abs=0.04)
    assert corrected == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("noise_a", [0.0, 1.0])
@pytest.mark.parametrize("noise_b", [0.0, 1.0])
def test_noise_on_either_side_moves_neither_slope(
    noise_a: float, noise_b: float
) -> None:
    # a = 2 b: the slope of a on b is 2, that of b on a is 1/2. Sigma is below .03 and
    # .01 at 100,000 scores: five sigma, false alarm 6e-7 each.
    truth = normal(20_000, 5, seed=3)
    a1, a2 = noisy_halves(2 * truth, noise=2 * noise_a, seed=4)
    b1, b2 = noisy_halves(truth, noise=noise_b, seed=6)
    on_b = statistics.errors_in_variables_slope(of(a1, a2), of(b1, b2)).item()
    on_a = statistics.errors_in_variables_slope(of(b1, b2), of(a1, a2)).item()
    assert on_b == pytest.approx(2.0, abs=0.15)
    assert on_a == pytest.approx(0.5, abs=0.05)


def related(n_train: int, n_targets: int, correlation: float) -> tuple[Tensor, Tensor]:
    b = normal(n_train, n_targets, seed=10)
    rest = math.sqrt(1 - correlation**2)
    return correlation * b + rest * normal(n_train, n_targets, seed=11), b


def test_disattenuation_recovers_the_correlation_that_noise_hides() -> None:
    # True correlation .6; noise variance equals signal variance on both sides, so the
    # raw correlation is .3 and each reliability .5. Sigma is below .01 at 100,000.
    a, b = related(20_000, 5, 0.6)
    a1, a2 = noisy_halves(a, noise=1.0, seed=12)
    b1, b2 = noisy_halves(b, noise=1.0, seed=14)
    raw = statistics.pearson((a1 + a2) / 2, (b1 + b2) / 2).item()
    reliability = statistics.reliability(of(a1, a2)).item()
    found = statistics.disattenuated_pearson(of(a1, a2), of(b1, b2)).item()
    assert raw == pytest.approx(0.3, abs=0.05)
    assert reliability == pytest.approx(0.5, abs=0.05)
    assert found == pytest.approx(0.6, abs=0.05)


def test_the_relative_error_without_the_noises_own_share() -> None:
    # |a - b| / |b| is .5 for a = 1.5 b; with noise of variance 1 on both sides the raw
    # one is sqrt(.25 + 2)/sqrt(2) = 1.06.
    truth = normal(20_000, 5, seed=16)
    a1, a2 = noisy_halves(1.5 * truth, noise=1.0, seed=17)
    b1, b2 = noisy_halves(truth, noise=1.0, seed=19)
    raw = statistics.relative_error((a1 + a2) / 2, (b1 + b2) / 2).item()
    found = statistics.corrected_relative_error(of(a1, a2), of(b1, b2)).item()
    assert raw == pytest.approx(math.sqrt(2.25 / 2), abs=0.05)
    assert found == pytest.approx(0.5, abs=0.1)


def test_pure_noise_has_no_disattenuated_correlation() -> None:
    # Halves that contradict each other on both sides: the two negative reliabilities
    # must not multiply to a positive one.
    a, b = normal(50, 2, seed=0), normal(50, 2, seed=1)
    found = statistics.disattenuated_pearson(
        of(a + 0.1 * b, -a + 0.1 * b), of(b, -b + 0.1 * a)
    )
    assert not found.isfinite()
    one_side = statistics.disattenuated_pearson(of(a + 0.1 * b, -a + 0.1 * b), of(b, b))
    assert not one_side.isfinite()


whole_numbers = st.lists(
    st.lists(st.integers(-3, 3), min_size=6, max_size=6), min_size=2, max_size=2
)


@given(columns_a=whole_numbers, columns_b=whole_numbers)
def test_rank_correlation_is_that_of_scipy_a_target_ties_included(
    columns_a: list[list[int]], columns_b: list[list[int]]
) -> None:
    columns = [*columns_a, *columns_b]
    if any(len(set(column)) == 1 for column in columns):
        for column in columns:
            column[0] += 10  # a constant column has no ranks
    expected = [
        spearmanr(x, y).statistic for x, y in zip(columns_a, columns_b, strict=True)
    ]
    a = torch.tensor(columns_a, dtype=torch.float64).T
    b = torch.tensor(columns_b, dtype=torch.float64).T
    found = statistics.spearman(a, b)
    assert found.item() == pytest.approx(np.mean(expected), abs=1e-12)
    many = statistics.spearman(torch.stack([a, b]), torch.stack([b, b]))
    assert many.tolist() == pytest.approx([np.mean(expected), 1.0], abs=1e-12)


@pytest.mark.parametrize("n_targets", [1, 3, 4])
def test_correlation_slope_and_error_are_those_of_numpy(n_targets: int) -> None:
    a, b = normal(9, n_targets, seed=2) + 5, normal(9, n_targets, seed=3) - 2
    x, y = a.numpy(), b.numpy()
    centred = (x - x.mean(0)).ravel(), (y - y.mean(0)).ravel()
    expected = np.corrcoef(*centred)[0, 1]
    assert statistics.pearson(a, b).item() == pytest.approx(expected)
    slope = np.linalg.lstsq(y.reshape(-1, 1), x.ravel(), rcond=None)[0][0]
    assert statistics.naive_slope(a, b).item() == pytest.approx(slope)
    ratios = np.linalg.norm(x - y, axis=0) / np.linalg.norm(y, axis=0)
    assert statistics.relative_error(a, b).item() == pytest.approx(np.median(ratios))


def slope_and_correlation(pairs: list[Any]) -> dict[str, Tensor]:
    a, b = pairs
    return {
        "slope": statistics.errors_in_variables_slope(a, b),
        "disattenuated": statistics.disattenuated_pearson(a, b),
    }


@pytest.mark.parametrize(
    ("n_units", "noise"), [(8, 0.15), (40, 0.15), (20, 0.45)], ids=str
)
def test_95_percent_intervals_cover_the_true_slope_and_correlation(
    n_units: int, noise: float
) -> None:
    # 250 studies, a and b of unit variance or more: coverage .95 has sigma .014. The
    # band [.90, .99] is 3.6 sigma below and 2.9 above: false alarm 2e-3 a number.
    # Under noise .45 intervals are wide, as the docstring of `bootstrap` says.
    a, b = related(40, 2, 0.8)
    a = a + b
    truth = {
        "slope": (a * b).sum().item() / (b * b).sum().item(),
        "disattenuated": statistics.pearson(a, b).item(),
    }
    covered = dict.fromkeys(truth, 0)
    for study in range(250):
        estimates = [
            noisy(a, noise=noise, n_units=n_units, seed=30_000 + study),
            noisy(b, noise=noise, n_units=n_units, seed=40_000 + study),
        ]
        found = bootstrap(estimates, slope_and_correlation, seed=study)
        for name, value in truth.items():
            covered[name] += found[name].low <= value <= found[name].high
    shares = {name: count / 250 for name, count in covered.items()}
    widest = 0.99 if noise < 0.4 else 1.0
    assert all(0.90 < share <= widest for share in shares.values()), shares


def test_agreement_reports_slope_and_correlations_with_their_intervals() -> None:
    a_truth, b_truth = related(80, 3, 0.9)
    a = noisy(2 * a_truth, noise=0.5, seed=20, point=Point("subsets", 0.5))
    b = noisy(b_truth, noise=0.5, seed=21, point=Point("weights", 1.0))
    found = agreement(a, b)
    assert found.expected_slope == 2.0
    assert (found.a, found.b) == (a.estimand, b.estimand)
    assert (found.n_examples, found.n_targets, found.draws) == (80, 3, 1000)
    intervals = found.intervals()
    assert len(intervals) == 9
    for interval in intervals.values():
        assert interval.low < interval.value < interval.high
        assert interval.finite
    assert found.naive_slope.value < found.slope.value
    assert found.pearson.value < found.disattenuated.value
    assert found.corrected_relative_error.value < found.relative_error.value


@pytest.mark.parametrize("n_units", [6, 7])
def test_a_statistics_value_is_that_of_the_scores(n_units: int) -> None:
    a_truth, b_truth = related(30, 2, 0.9)
    a = noisy(a_truth, noise=0.5, n_units=n_units, seed=22)
    b = noisy(b_truth, noise=0.5, n_units=n_units, seed=23)
    found = agreement(a, b)
    for name, function in (
        ("pearson", statistics.pearson),
        ("spearman", statistics.spearman),
        ("naive_slope", statistics.naive_slope),
        ("relative_error", statistics.relative_error),
    ):
        expected = function(a.scores, b.scores).item()
        assert found.intervals()[name].value == pytest.approx(expected, rel=1e-12)


def test_two_exact_sides_leave_no_uncertainty() -> None:
    truth = normal(20, 3, seed=24)
    found = agreement(exact(2 * truth), exact(truth))
    expected = {
        "slope": 2.0,
        "naive_slope": 2.0,
        "pearson": 1.0,
        "spearman": 1.0,
        "disattenuated": 1.0,
        "reliability_a": 1.0,
        "reliability_b": 1.0,
        "relative_error": 1.0,
        "corrected_relative_error": 1.0,
    }
    assert set(found.intervals()) == set(expected)
    for name, interval in found.intervals().items():
        assert interval.low == interval.value == interval.high
        assert interval.value == pytest.approx(expected[name], abs=1e-12)


def test_one_exact_side_is_compared_with_a_noisy_one() -> None:
    truth = normal(60, 3, seed=25)
    found = agreement(noisy(2 * truth, noise=0.3, seed=26), exact(truth))
    assert found.reliability_b == Interval(1.0, 1.0, 1.0)
    assert found.slope.low < 2 < found.slope.high
    assert found.slope.value == pytest.approx(found.naive_slope.value, rel=1e-12)
    assert found.reliability_a.value < 1


def close(a: Interval, b: Interval) -> None:
    assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), rel=1e-9)


def test_agreement_has_the_symmetries_of_its_statistics() -> None:
    a_truth, b_truth = related(25, 2, 0.8)
    a = noisy(a_truth, noise=0.4, seed=27)
    b = noisy(b_truth, noise=0.4, seed=28)
    found = agreement(a, b)
    scaled = agreement(a.scaled(3.0), b)
    close(scaled.slope, Interval(*(3 * x for x in parts(found.slope))))
    for name in ("pearson", "spearman", "disattenuated", "reliability_a"):
        close(getattr(scaled, name), getattr(found, name))
    in_epsilon = agreement(a.in_unit("per_epsilon"), b.in_unit("per_epsilon"))
    rows, columns = a.train_labels[::-1], a.target_labels[::-1]
    turned = agreement(a.restricted(rows, columns), b.restricted(rows, columns))
    for name, interval in found.intervals().items():
        close(in_epsilon.intervals()[name], interval)
        close(turned.intervals()[name], interval)
    again = agreement(a, b)
    assert again == found
    other = agreement(a, b, seed=1)
    assert other.slope.value == found.slope.value
    assert other.slope.low != found.slope.low


def parts(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def test_halves_are_the_means_of_every_other_unit() -> None:
    estimate = noisy(normal(4, 2, seed=0), noise=1.0, n_units=6, seed=1)
    assert estimate.units is not None
    _, first, second = (part[0] for part in split(estimate))
    torch.testing.assert_close(first, estimate.units[[0, 2, 4]].mean(0))
    torch.testing.assert_close(second, estimate.units[[1, 3, 5]].mean(0))
    truth = normal(4, 2, seed=0)
    assert all(torch.equal(part[0], truth) for part in split(exact(truth)))


TRUTH = normal(6, 2, seed=29)
A = noisy(TRUTH, noise=0.1, seed=1)
B = noisy(TRUTH, noise=0.1, seed=2)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            B.in_unit("per_epsilon"),
            r"same unit, got per_weight and per_epsilon: convert with "
            r"\.in_unit\('per_weight'\)",
        ),
        (
            noisy(TRUTH, noise=0.1, seed=2, problem="another"),
            "same problem, got made-up and another",
        ),
        (
            noisy(TRUTH, noise=0.1, seed=2, normalisation="count"),
            "same normalisation, got sum and count",
        ),
        (
            noisy(TRUTH, noise=0.1, seed=2, output="loss"),
            "same output, got margin and loss",
        ),
        (
            noisy(TRUTH, noise=0.1, seed=2, step_policy="proportional"),
            "same step_policy, got fixed and proportional",
        ),
        (
            B.restricted(train=B.train_labels[:4]),
            r"same train labels, got 6 and 4: align them with \.restricted",
        ),
        (
            B.restricted(targets=B.target_labels[::-1]),
            "same target labels, got 'question 0' and 'question 1' at position 0",
        ),
        (
            noisy(TRUTH, noise=0.1, seed=1),
            "must share no seeds, got experiment seed 1 in both",
        ),
        (
            noisy(TRUTH, noise=0.1, n_units=3, seed=2),
            "units must number at least 4 for an interval, got 3 behind the datamodel",
        ),
        (
            replace(B, units=None),
            "units must number at least 4 for an interval, got 0 behind the datamodel",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_remedy(
    other: Attribution, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        agreement(A, other)


def test_too_few_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="draws must be at least 1000, got 999"):
        agreement(A, B, draws=999)

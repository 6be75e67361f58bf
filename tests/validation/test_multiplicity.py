"""Verdicts that stand together: levels, and errors over a whole suite."""

from math import nan
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import generator
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from dmtheory.agreement.bootstrap import Interval
from validation.verdicts.multiplicity import LEVEL, chance_of_error, family_wise, holm
from validation.verdicts.verdict import Part, combined_verdict

# Half a 95 % interval, in standard errors.
HALF = 1.959963984540054


def part(
    value: float, se: float, tolerance, above: float | None = None, **fields: Any
) -> Part:
    up = se if above is None else above
    ends = value - HALF * se, value + HALF * up
    return Part(
        name="a number",
        statement="",
        interval=Interval(value, *ends),
        tolerance=tolerance,
        **fields,
    )


def entry(*parts: Part) -> dict:
    return {
        "verdict": combined_verdict(list(parts)),
        "parts": [one.to_json() for one in parts],
        "passed": all(one.passed for one in parts),
    }


@pytest.mark.parametrize(
    ("found", "sigmas"),
    [
        (part(1.0, 0.04, (0.9, 1.1)), 2.5),
        # The nearer end counts, and of a skew interval the side that faces it.
        (part(1.02, 0.02, (0.9, 1.1)), 4.0),
        (part(1.0, 0.02, (0.9, 1.1), above=0.05), 2.0),
        (part(0.5, 0.1, (0.0, None)), 5.0),
        # Refuted: how far outside, by the side that faces the tolerance.
        (part(1.5, 0.1, (None, 1.1), expected="refuted"), 4.0),
        (part(1.5, 0.1, (-99.0, 1.1), above=9.0, expected="refuted"), 4.0),
        (part(0.6, 9.0, (0.9, None), above=0.1, expected="refuted"), 3.0),
    ],
)
def test_the_chance_of_error_is_the_tail_beyond_the_nearest_end(
    found: Part, sigmas: float
) -> None:
    assert found.verdict != "inconclusive"
    assert chance_of_error(found) == pytest.approx(norm.sf(sigmas), rel=1e-9)


@given(st.floats(-3, 3), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_verdict_of_a_95_percent_interval_is_a_test_at_2_5_percent(
    value: float, se: float, above: float
) -> None:
    for expected, tolerance in (("supported", (-1.0, 1.0)), ("refuted", (None, 1.0))):
        found = part(value, se, tolerance, above=above, expected=expected)
        assert found.passed == (chance_of_error(found) <= 0.025)


def test_outside_on_either_side_counts_both_tails() -> None:
    """With a tolerance of one point it is the two-sided test of an equality."""
    point = part(1.3, 0.1, (1.0, 1.0), expected="refuted")
    assert chance_of_error(point) == pytest.approx(2 * norm.sf(3))
    wide = part(1.3, 0.1, (0.9, 1.0), expected="refuted")
    assert chance_of_error(wide) == pytest.approx(norm.sf(3) + norm.sf(4))


def test_an_open_part_is_certain_to_no_degree_and_an_exact_one_is() -> None:
    assert chance_of_error(part(1.0, 0.2, (0.9, 1.1))) == 1.0
    assert chance_of_error(part(nan, 0.1, (0.9, 1.1))) == 1.0
    assert chance_of_error(part(1e-12, 0.0, (0.0, 1e-10))) == 0.0


@pytest.mark.parametrize(
    "p_values",
    [
        [0.3],
        [0.0, 0.0, 0.04, 1.0],
        [0.01, 0.013, 0.0128, 0.0128, 0.4, 1e-9],
        torch.rand(12, generator=generator(1), dtype=torch.float64).square().tolist(),
    ],
)
def test_holm_as_statsmodels_has_it(p_values: list[float]) -> None:
    wanted = multipletests(p_values, alpha=LEVEL, method="holm")
    np.testing.assert_allclose(holm(p_values), wanted[1], rtol=1e-12, atol=0)


def test_an_entry_is_as_certain_as_its_least_certain_part() -> None:
    sure, less = part(0.0, 0.01, (-1.0, 1.0)), part(0.0, 0.4, (-1.0, 1.0))
    aside = part(0.0, 1.0, (-1.0, 1.0), headline=False)
    not_begun = {"verdict": "inconclusive", "parts": []}
    claims = [entry(sure, less), entry(sure), entry(sure, aside), not_begun]
    found = family_wise(claims)
    assert found[0]["p"] == pytest.approx(norm.sf(2.5))
    # Third smallest of four.
    assert found[0]["adjusted"] == pytest.approx(3 * norm.sf(2.5))
    assert [one["stands"] for one in found] == [True, True, False, False]


def test_a_blocked_entry_stands_nowhere() -> None:
    blocked = {**entry(part(0.0, 0.01, (-1.0, 1.0))), "verdict": "inconclusive"}
    assert family_wise([blocked]) == [{"p": 1.0, "adjusted": 1.0, "stands": False}]


def test_an_entry_that_missed_a_wrong_estimate_stands_nowhere() -> None:
    sure = entry(part(0.0, 0.01, (-1.0, 1.0)))
    assert family_wise([sure])[0]["stands"]
    assert not family_wise([sure | {"passed": False}])[0]["stands"]


def test_a_number_that_is_only_reported_has_no_p_value() -> None:
    sure, near = part(0.0, 0.01, (-1.0, 1.0)), part(0.0, 0.5, (-1.0, 1.0))
    told = part(0.0, 0.5, (-1.0, 1.0), judged=False)
    with_it, without = family_wise([entry(sure, told)]), family_wise([entry(sure)])
    assert with_it == without
    assert family_wise([entry(sure, near)])[0]["p"] > without[0]["p"]


def test_exact_entries_cost_the_others_nothing() -> None:
    exact = [entry(part(0.0, 0.0, (0.0, 1e-9)))] * 50
    found = family_wise([*exact, entry(part(0.0, 0.4, (-1.0, 1.0)))])
    assert found[-1]["adjusted"] == pytest.approx(norm.sf(2.5))


def test_a_wrong_verdict_anywhere_is_rare_though_alone_it_is_not() -> None:
    """600 suites of 10 sure entries and 10 whose truth is just out of tolerance.

    "Supported" of the latter is wrong. Alone some is in 1 - .975^10 = .224 of the
    suites; together in at most .05 (and, with the sure ones out of the way, in hardly
    fewer). Bounds are 3.5 sigma of the rates: false alarms 3e-4. Control of the share
    of false discoveries instead would err in .24.
    """
    values = torch.randn(600, 10, generator=generator(3), dtype=torch.float64)
    sure = [entry(part(0.0, 0.1, (-9.0, 1.0)))] * 10
    alone = together = 0
    for suite in values.tolist():
        claims = [entry(part(1.0 + 0.1 * z, 0.1, (-9.0, 1.0))) for z in suite]
        alone += any(claim["verdict"] == "supported" for claim in claims)
        stands = [found["stands"] for found in family_wise(sure + claims)]
        assert all(stands[:10])
        together += any(stands[10:])
    assert alone / 600 == pytest.approx(1 - 0.975**10, abs=0.06)
    assert together / 600 == pytest.approx(LEVEL, abs=0.031)


def test_a_verdict_that_nobody_expected_stands_nowhere() -> None:
    surprise = part(5.0, 0.01, (0.9, 1.1))
    assert surprise.verdict == "refuted"
    assert chance_of_error(surprise) == 1.0
    assert not family_wise([entry(surprise)])[0]["stands"]

"""From intervals and tolerances to verdicts."""

import json
from dataclasses import replace
from math import isfinite, nan, sqrt

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from samples import generator

from dmtheory.agreement.bootstrap import Interval
from validation.claim import Entry
from validation.claims import CLAIMS
from validation.laboratory import Laboratory
from validation.verdicts.verdict import POWER, Part, combined_verdict, part_of


def part(low: float, high: float, tolerance=(0.9, 1.1), **kw) -> Part:
    interval = Interval((low + high) / 2, low, high)
    return Part(
        name="slope", statement="", interval=interval, tolerance=tolerance, **kw
    )


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.95, 1.05, "supported"),
        (0.9, 1.1, "supported"),
        (1.11, 1.2, "refuted"),
        (0.5, 0.89, "refuted"),
        (0.85, 0.95, "inconclusive"),
        (0.5, 2.0, "inconclusive"),
        (float("nan"), float("nan"), "inconclusive"),
    ],
)
def test_the_whole_interval_decides(low: float, high: float, verdict: str) -> None:
    assert part(low, high).verdict == verdict


def test_open_ends() -> None:
    assert part(0.81, 5.0, (0.8, None)).verdict == "supported"
    assert part(0.1, 0.5, (0.8, None)).verdict == "refuted"


def test_a_refuted_part_can_be_what_is_expected() -> None:
    found = part(2.0, 2.1, expected="refuted")
    assert found.verdict == "refuted"
    assert found.passed


def test_inconclusive_says_how_much_more_would_decide() -> None:
    # Half-width .04, distance from value to the edge .02: (.04/.02)^2 = 4 times to
    # touch it, (1.960 + 1.282)^2 / 1.960^2 = 2.735 times that for nine in ten.
    open_ = part(1.04, 1.12)
    assert open_.times == pytest.approx(4)
    assert "10.94 times the models, 9,942 further ones," in open_.note(1000)


def test_with_the_models_it_names_an_open_part_is_decided_nine_times_in_ten() -> None:
    """False-alarm rate below 1e-4: binomial, 4 standard errors of 20,000 draws."""
    open_ = part(0.98, 1.14, (0.9, 1.1))
    assert open_.verdict == "inconclusive"
    draws = torch.randn(20_000, generator=generator(3)).double()
    reach = 0.08 / sqrt(POWER * open_.times)
    values = open_.interval.value + reach / 1.959964 * draws
    decided = (values + reach <= 1.1).double().mean().item()
    assert abs(decided - 0.9) < 4 * sqrt(0.09 / 20_000)


def test_what_models_do_not_narrow_names_what_does() -> None:
    note = part(1.04, 1.12, over="targets").note(1000)
    assert "times the targets would decide it" in note
    assert "further ones" not in note


def test_combined_verdicts() -> None:
    good, bad, open_ = part(0.95, 1.05), part(1.2, 1.3), part(1.0, 1.2)
    aside = part(1.2, 1.3, headline=False)
    assert combined_verdict([good, good, aside]) == "supported"
    assert combined_verdict([good, bad]) == "refuted"
    assert combined_verdict([good, open_]) == "inconclusive"
    assert combined_verdict([bad, open_]) == "inconclusive"


def with_times_the_models(part: Part, times: float) -> Part:
    """Return the part as it would be with so many times the models."""
    i, root = part.interval, sqrt(times)
    low, high = i.value - (i.value - i.low) / root, i.value + (i.high - i.value) / root
    return replace(part, interval=Interval(i.value, low, high))


def decides_at_the_number_it_names(part: Part) -> None:
    assert part.verdict == "inconclusive"
    assert with_times_the_models(part, 0.99 * part.times).verdict == "inconclusive"
    assert with_times_the_models(part, 1.01 * part.times).verdict != "inconclusive"
    assert f"{POWER * part.times:.2f} times" in part.note()


NUMBERS = st.floats(-10, 10).map(lambda x: round(x, 3))
ENDS = st.one_of(st.none(), NUMBERS)


@given(NUMBERS, st.floats(0.001, 5), st.floats(0.001, 5), ENDS, ENDS)
def test_an_open_part_is_decided_by_the_models_it_names(
    value: float, below: float, above: float, low: float | None, high: float | None
) -> None:
    """Ends of unequal length too, where half the width would name too few or many."""
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    found = Part(
        name="",
        statement="",
        interval=Interval(value, value - below, value + above),
        tolerance=(low, high),
    )
    if found.verdict != "inconclusive":
        assert found.times == 1
        assert found.note(1000) == ""
        return
    assume(isfinite(found.times))
    assume(low is None or high is None or high > low)
    decides_at_the_number_it_names(found)


def test_what_no_number_of_models_decides_says_so() -> None:
    on_the_edge, not_finite = part(0.8, 1.0), part(nan, nan)
    assert on_the_edge.interval.value == 0.9
    for open_ in (on_the_edge, not_finite):
        assert open_.times == float("inf")
        assert "no number of further models" in open_.note(1000)


def open_forms(part: Part) -> list[Part]:
    """Return a part with its own tolerance but an interval across each of its ends."""
    ends = [end for end in part.tolerance if end is not None]
    width = max(abs(ends[0] - ends[-1]), 1e-3)
    return [
        replace(part, interval=Interval(end + shift, end - width, end + width))
        for end in ends
        for shift in (-width / 3, width / 3)
    ]


# The bridge's quadrature takes seconds; its parts are exact ones as the others are.
EXACT = [
    (claim_id, entry)
    for claim_id, claim in CLAIMS.items()
    for entry in claim.entries
    if entry.scale == "C" and entry.suite == "small" and claim_id != "bridge"
]


@pytest.mark.parametrize(("claim_id", "entry"), EXACT, ids=str)
def test_every_part_of_a_claim_says_what_would_decide_it(
    claim_id: str, entry: Entry, laboratory: Laboratory
) -> None:
    claim = CLAIMS[claim_id]
    for one in claim.judge(claim.measure(laboratory, entry), entry):
        assert one.note(1000) == ""
        for open_ in open_forms(one):
            decides_at_the_number_it_names(open_)
            assert ("further ones" in open_.note(1000)) == (open_.over == "models")


def test_a_part_survives_its_file() -> None:
    for one in (
        part(2.0, 2.1, expected="refuted"),
        part(0.1, 0.5, (0.8, None), over="targets", judged=False),
    ):
        assert part_of(json.loads(json.dumps(one.to_json()))) == one
    lost = part_of(part(nan, nan, headline=False).to_json())
    assert (lost.verdict, lost.headline) == ("inconclusive", False)

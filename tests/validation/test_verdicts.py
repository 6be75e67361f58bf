"""From intervals and tolerances to verdicts."""

import pytest

from dmtheory.agreement.bootstrap import Interval
from validation.verdict import Part, combined_verdict


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
    # Half-width .04, distance from value to the edge .02: (.04/.02)^2 = 4 times.
    assert "4.0 times" in part(1.04, 1.12).note


def test_combined_verdicts() -> None:
    good, bad, open_ = part(0.95, 1.05), part(1.2, 1.3), part(1.0, 1.2)
    aside = part(1.2, 1.3, headline=False)
    assert combined_verdict([good, good, aside]) == "supported"
    assert combined_verdict([good, bad]) == "refuted"
    assert combined_verdict([good, open_]) == "inconclusive"
    assert combined_verdict([bad, open_]) == "inconclusive"

"""Numbers as text."""

import pytest

from dmtheory.rendering import (
    format_duration,
    format_interval,
    format_number,
    format_range,
    interval_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (0, "0"),
        (41200, "41,200"),
        (2.0431, "2.04"),
        (-0.5, "−0.500"),
        (9.999, "10.0"),
        (12345.6, "12,346"),
        (3.1e-14, "3.1×10⁻¹⁴"),
        (-1e-10, "−10⁻¹⁰"),
        (2.5e7, "2.5×10⁷"),
    ],
)
def test_a_number_keeps_the_digits_it_deserves(value: float, text: str) -> None:
    assert format_number(value) == text


def test_trimming_drops_zeros_after_the_point_only() -> None:
    assert format_number(0.5, digits=6, trim=True) == "0.5"
    assert format_number(100.0, digits=3, trim=True) == "100"


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (2.0431, 2.012, 2.074, "2.04 [2.01, 2.07]"),
        (0.99953, 0.9991, 0.9998, "0.9995 [0.9991, 0.9998]"),
        (-0.004, -0.03, 0.02, "−0.004 [−0.030, 0.020]"),
        (-1e-9, -0.01, 0.01, "0.000 [−0.010, 0.010]"),
        (4.2e-5, 3.1e-5, 5.3e-5, "4.2×10⁻⁵ [3.1, 5.3]×10⁻⁵"),
        (2.18075, 2.18075, 2.18075, "2.18075 exact"),
        (3.1e-14, 3.1e-14, 3.1e-14, "3.1×10⁻¹⁴ exact"),
        (5.023856e-8, 5.023856e-8, 5.023856e-8, "5×10⁻⁸ exact"),
        (0.0, 0.0, 0.0, "0 exact"),
        (0.52, None, None, "0.520"),
        (None, None, None, "–"),
        (2e6, 1e6, 3e6, "2.0×10⁶ [1.0, 3.0]×10⁶"),
    ],
)
def test_an_interval_decides_the_digits(
    value: float | None, low: float | None, high: float | None, text: str
) -> None:
    assert format_interval(value, low, high) == text


def test_interval_and_number_are_rounded_alike() -> None:
    text = interval_text(1.0, 0.98, 1.02)
    assert (text.value, text.interval) == ("1.000", "[0.980, 1.020]")


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.9, 1.1, "0.9 to 1.1"),
        (None, 1e-10, "at most 10⁻¹⁰"),
        (0.8, None, "at least 0.8"),
        (0.0, 1e-10, "0 to 10⁻¹⁰"),
        (0.90641844, 1.09358156, "0.906 to 1.094"),
        (0.0, 0.03, "0 to 0.03"),
        (None, None, "–"),
    ],
)
def test_a_range_may_be_open(low: float | None, high: float | None, text: str) -> None:
    assert format_range(low, high) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (134.2, "2 min 14 s"),
        (11100, "3 h 05 min"),
    ],
)
def test_a_duration_reads_as_people_say_it(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text

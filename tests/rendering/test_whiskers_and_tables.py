"""Dots with whiskers, and tables."""

import re

import pytest
from markupsafe import Markup

from dmtheory.rendering import common_domain, html_table, whisker


def places(svg: str, name: str) -> list[float]:
    piece = re.search(rf'class="{name}"[^/]*', svg)
    assert piece is not None
    return [float(number) for number in re.findall(r"([\d.]+)%", piece.group())]


def test_value_interval_band_and_zero_stand_where_they_should() -> None:
    svg = whisker(0.5, 0.25, 0.75, domain=(-1.0, 1.0), band=(None, 0.0))
    assert places(svg, "dot") == [75.0]
    assert places(svg, "range") == [62.5, 87.5]
    assert places(svg, "band") == [0.0, 50.0]
    assert places(svg, "zero") == [50.0, 50.0]


def test_a_bar_joins_zero_and_a_negative_value() -> None:
    svg = whisker(-0.5, None, None, domain=(-1.0, 1.0), bar=True)
    assert places(svg, "bar") == [25.0, 25.0]
    assert 'class="range"' not in svg


def test_what_lies_outside_is_drawn_at_the_edge() -> None:
    assert places(whisker(7.0, None, None, domain=(0.0, 1.0)), "dot") == [100.0]


def test_an_axis_needs_length() -> None:
    with pytest.raises(ValueError, match="domain must rise"):
        whisker(0.0, None, None, domain=(1.0, 1.0))


@pytest.mark.parametrize("values", [[], [None], [0.0], [-3.0], [1.0, None, 2.0]])
def test_a_domain_always_has_length(values: list[float | None]) -> None:
    low, high = common_domain(values)
    assert low < high
    assert all(low <= value <= high for value in values if value is not None)


def test_a_table_escapes_and_names_its_headers() -> None:
    table = html_table(
        ("<a>", "b"), [("x & y", Markup("<b>1</b>"))], caption="<i>", row_headers=True
    )
    assert '<th scope="col">&lt;a&gt;</th>' in table
    assert '<th scope="row">x &amp; y</th><td><b>1</b></td>' in table
    assert "<caption><span>&lt;i&gt;</span></caption>" in table


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="row 1 must have 2 cells, got 1"):
        html_table(("a", "b"), [(1, 2), (1,)], caption="c")

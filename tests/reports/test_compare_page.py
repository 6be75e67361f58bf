"""The page of a comparison: whole, closed to the outside, and of escaped text."""

from pathlib import Path

import pytest
import test_report_page as every_page
from test_compare import Keep, called, changed, keep, with_slope
from test_report_page import Page

__all__ = ["keep"]
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def html(keep: Keep, tmp_path: Path) -> str:
    base = with_slope(1.0, 0.1)
    base["claims"][0]["parts"][0]["name"] = EVIL
    first = keep("first", base)
    second = keep("second", changed(base, verdict="refuted"))
    moved = with_slope(9.0, 0.1, seed=1)
    moved["claims"][0]["parts"][0]["name"] = EVIL
    third = keep("third <b>", moved)
    page = tmp_path / "comparison.html"
    outcome = called(first, second, third, "--html", page)
    assert outcome.exit_code == 1
    return page.read_text(encoding="utf-8")


def test_the_page_keeps_what_every_page_keeps(html: str) -> None:
    page = Page(html)
    every_page.test_nothing_is_loaded_from_outside(html, page)
    every_page.test_ids_are_unique_and_links_lead_somewhere(page)
    every_page.test_headings_are_in_order_and_tables_have_headers(page)


def test_the_page_says_what_differs_and_runs_nothing(html: str) -> None:
    assert "<h1>A verdict changed</h1>" in html
    assert "Numbers that moved beyond noise" in html
    assert EVIL not in html and "&lt;script&gt;alert(1)" in html
    assert "third &lt;b&gt;" in html
    assert "<script" not in html
    assert "default-src 'none'" in html


def test_equal_runs_make_a_page_that_says_so(keep: Keep, tmp_path: Path) -> None:
    runs = [keep(name, with_slope(1.0, 0.1)) for name in ("a", "b")]
    page = tmp_path / "page.html"
    assert called(*runs, "--html", page).exit_code == 0
    assert "<h1>No verdict changed</h1>" in page.read_text(encoding="utf-8")

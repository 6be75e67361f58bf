"""The comparison of runs in Chromium: the same checks as the report's."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from chromium import Tab
from synthetic_run import synthetic_environment, synthetic_results
from test_report_as_seen import (
    DESK,
    MEASURE,
    PAPER,
    PHONE,
    SCHEMES,
    leaving_the_paper,
    reached_by_tab,
    violations,
)

from reports.compare import compare_runs
from reports.comparison_page import write_comparison

Json = dict[str, Any]
LONG = "a-name-so-long-that-no-column-was-made-for-it-and-without-a-space"


@pytest.fixture(scope="session")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every table: verdicts, numbers, settings, and a run without any."""
    base = synthetic_results()
    base["claims"][1]["problem"] = LONG
    moved = copy.deepcopy(base) | {"seed": 1, "commit": "fedcba", "seconds": 3600.0}
    for claim in moved["claims"]:
        for part in claim["parts"]:
            for end in ("value", "low", "high"):
                part[end] += 9
    moved["claims"][0]["parts"][1]["low"] = None
    moved["claims"][2] |= {"verdict": "refuted", "passed": False}
    del moved["claims"][3]
    around = synthetic_environment()
    around["packages"] |= {"torch": "99.0", LONG: "1.0"}
    folder = tmp_path_factory.mktemp("runs")
    runs = []
    for name, results, machine in (
        ("first", base, synthetic_environment()),
        (f"second-{LONG}", moved, around),
        ("third", base, synthetic_environment()),
    ):
        runs.append(folder / name)
        runs[-1].mkdir()
        (runs[-1] / "results.json").write_text(json.dumps(results))
        (runs[-1] / "environment.json").write_text(json.dumps(machine))
    page = folder / "comparison.html"
    write_comparison(compare_runs(runs), page)
    return page


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_page_loads_without_complaint_and_stays_within_the_window(
    tab: Tab, comparison: Path, shots: Path, width: int, scheme: str
) -> None:
    tab.look(width=width, scheme=scheme)
    tab.open(comparison)
    tab.screenshot(shots / f"comparison-{width}-{scheme}.png")
    found = tab.run(MEASURE)
    assert found["sideways"] <= 0 and not found["out"] and not found["cut"]
    assert tab.run('document.querySelectorAll("table").length') >= 3
    assert tab.complaints() == []


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light"), (DESK, "dark")])
def test_axe_finds_nothing(tab: Tab, comparison: Path, width: int, scheme: str) -> None:
    tab.look(width=width, scheme=scheme)
    tab.open(comparison)
    assert violations(tab) == []


def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    tab: Tab, comparison: Path
) -> None:
    tab.look(width=PHONE)
    tab.open(comparison)
    # The link past the header, one a run, and every table, which scrolls in its box.
    assert reached_by_tab(tab) >= 6


def test_nothing_leaves_the_paper(tab: Tab, comparison: Path, shots: Path) -> None:
    tab.look(width=PAPER, media="print")
    tab.open(comparison)
    tab.screenshot(shots / "comparison-print.png")
    assert leaving_the_paper(tab) == []

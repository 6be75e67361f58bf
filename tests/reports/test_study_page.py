"""Studies in the page of a run: their figures, their tables and their words."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_report_page as every_page
from synthetic_run import a_study
from test_report_page import Page, luminance

from reports import build_report

Json = dict[str, Any]
Write = Callable[[Json], Path]


def check(scale_free: bool | None, change: float, half: float) -> Json:
    ends = {"value": change, "low": change - half, "high": change + half}
    return {
        "level": 0.3,
        "at_one": ends,
        "elsewhere": ends,
        "tolerance": 0.01,
        "scale_free": scale_free,
        "remedy": f"remedy of {scale_free}",
        "models_trained": 32,
    }


@pytest.fixture
def with_studies(results: Json) -> Json:
    results["studies"] = [a_study("digits-sum"), a_study("diabetes-sum")]
    checks = (check(True, 2e-16, 0.0), check(False, 0.3, 0.02), None)
    for problem, found in zip(results["problems"], checks, strict=True):
        problem["scale_free"] = found
    return results


@pytest.fixture
def html(write_run: Write, with_studies: Json) -> str:
    return build_report(write_run(with_studies)).read_text(encoding="utf-8")


def test_the_whole_page_keeps_what_every_page_keeps(html: str) -> None:
    page = Page(html)
    every_page.test_nothing_is_loaded_from_outside(html, page)
    every_page.test_ids_are_unique_and_links_lead_somewhere(page)
    every_page.test_headings_are_in_order_and_tables_have_headers(page)
    every_page.test_pictures_have_words_and_drawings_are_labelled(page)


def test_a_run_without_studies_has_no_section_for_them(
    write_run: Write, results: Json
) -> None:
    html = build_report(write_run(results)).read_text(encoding="utf-8")
    assert "studies" not in html and "Scale-free" not in html
    results["studies"] = []
    assert build_report(write_run(results)).read_text(encoding="utf-8") == html


def test_all_numbers_of_a_figure_stand_in_its_table(html: str) -> None:
    page = Page(html)
    chart, dots = (
        re.findall(
            r"<tr>(<th scope=\"row\">.*?)</tr>",
            html[html.index(f"{title}: the numbers") :].partition("</table>")[0],
        )
        for title in ("Trainings against N", "LDS on digits")
    )
    cells = [re.findall(r">([^<>]+)</t", row) for row in chart]
    assert cells[0] == ["central differences", "75", "640.123", "600", "700"]
    assert cells[2] == ["central differences", "300", "2500", "–", "–"]
    assert cells[4] == ["central differences, its law", "600", "5000", "–", "–"]
    assert cells[6] == ["a law", "300", "2000", "1800", "2200"]
    assert len(cells) == 7
    cells = [re.findall(r">([^<>]+)</t", row) for row in dots]
    assert cells[1] == ["influence at w = 1", "10 seeds", "0.82", "0.8", "0.84"]
    assert cells[3] == ["ceiling", "–", "0.96", "0.95", "0.97"]
    assert len(cells) == 4
    study = page.inside("study-frontier-digits-sum")
    assert "The numbers in this figure" in study


def test_a_study_says_what_it_is_and_what_it_explains(html: str) -> None:
    page = Page(html)
    first = page.inside("study-frontier-digits-sum")
    second = page.inside("study-frontier-diabetes-sum")
    assert "Cost against accuracy: digits-sum" in first
    assert "1,234 models trained for it, 5.5 s" in first
    assert "Explains bridge." in first
    # The study's own text stands once, what there is to say of a problem with it.
    assert "How many trainings" in first and "How many trainings" not in second
    assert "This is about diabetes-sum." in second
    claim = page.inside("claim-bridge")
    assert "Explained by Cost against accuracy: digits-sum" in claim
    assert "Explained by" not in page.inside("claim-one-over-n")


def test_the_table_of_problems_says_which_are_scale_free(html: str) -> None:
    making = Page(html).inside("making")
    assert "yes from 1 to 0.3·1: below 10⁻⁶; elsewhere: below 10⁻⁶" in making
    assert "remedy of True" in making
    assert "no from 1 to 0.3·1: 0.300 [0.280, 0.320]" in making
    assert "remedy of False" in making


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("kind",), "pie", "kind must be one of chart, dots; got 'pie'"),
        (("kind",), None, 'figures[0] lacks the key "kind"'),
        (("series", 0, "low"), None, 'series[0] lacks the key "low"'),
        (("series", 0, "mark"), "bar", "mark must be one of both, points, line"),
        (("series", 0, "y"), [1.0], "must be of one length"),
        (("series", 0, "trend", "x"), [1.0], "as many x as y"),
        (("log",), "z", "log must be one of"),
        (("series",), [], "at least one series"),
    ],
)
def test_a_figure_of_another_shape(
    write_run: Write, with_studies: Json, path: tuple, value: Any, message: str
) -> None:
    figure = place = with_studies["studies"][0]["figures"][0]
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    assert figure
    with pytest.raises(ValueError) as caught:
        build_report(write_run(with_studies))
    assert message in str(caught.value)


def test_every_text_of_a_study_is_escaped(write_run: Write, with_studies: Json) -> None:
    attack = "<script>alert(1)</script>\"'&"
    keep = ("kind", "scale", "mark", "log", "view", "explains")

    def spoil(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: spoil(item, name) for name, item in value.items()}
        if isinstance(value, list) and key != "explains":
            return [spoil(item, key) for item in value]
        return attack if isinstance(value, str) and key not in keep else value

    spoiled = spoil(copy.deepcopy(with_studies["studies"]))
    for one in spoiled:
        # Names of rows are distinct, spoiled or not.
        one["figures"][1]["rows"] = [attack]
    with_studies["studies"] = spoiled
    html = build_report(write_run(with_studies)).read_text(encoding="utf-8")
    every_page.only_script(html)
    assert "&lt;script&gt;" in html
    Page(html)


@pytest.mark.parametrize("scheme", [0, 1])
def test_every_mark_stands_out_from_its_ground(html: str, scheme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", html, flags=re.DOTALL)[scheme]
    colours = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", block))
    marks = [name for name in colours if name.startswith("--figure-")]
    marks.remove("--figure-rule")
    assert len(marks) == 7
    for mark in marks:
        for ground in ("--paper", "--raised"):
            ends = sorted(map(luminance, (colours[mark], colours[ground])))
            assert (ends[1] + 0.05) / (ends[0] + 0.05) >= 3, (mark, ground)

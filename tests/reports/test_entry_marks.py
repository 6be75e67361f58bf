"""What stands beside an entry's numbers: marks, words, what is only reported."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_report_page import Page, summary

from reports import build_report
from reports.load import ReportError

Json = dict[str, Any]
Write = Callable[[Json], Path]
STANDS, NOT = "stands", "does not stand"


@pytest.fixture
def judged(results: Json) -> Json:
    """The made-up run with what a run says of its entries taken together."""
    for claim in results["claims"]:
        # Drawing takes longer than all else.
        claim["figure"] = None
        p = 0.0 if claim["passed"] else 1.0
        if claim["id"] == "bridge":
            # As expected by its own interval alone.
            p = 0.085
        claim["family_wise"] = {"p": p / 4, "adjusted": p, "stands": p <= 0.05}
    return results


def words_of(claim: Json) -> str:
    if claim["passed"] is None:
        return ""
    return STANDS if claim["family_wise"]["stands"] else NOT


def test_the_page_marks_every_entry_and_says_it_in_plain_words(
    write_run: Write, judged: Json
) -> None:
    html = build_report(write_run(judged)).read_text(encoding="utf-8")
    page = Page(html)
    rows = [row for row in page.find("tr") if "Claim Verdict" not in row]
    for claim in judged["claims"]:
        row = next(
            r for r in rows if r.startswith(claim["id"]) and claim["problem"] in r
        )
        told = re.findall(rf"(■{STANDS}|□{NOT})", row)
        assert [one[1:] for one in told] == [words_of(claim)] * bool(words_of(claim))
    lead = summary(page)
    standing = sum(words_of(claim) == STANDS for claim in judged["claims"])
    assert "With 6 entries decided at once, some could" in lead
    assert standing == 3
    assert f"{standing} stand together: in at most one run in twenty" in lead
    assert "by its interval alone: bridge on digits-network-sum." in lead
    assert "(p 0.085)" in page.inside("entry-bridge-m-digits-network-sum")
    assert "(p below 10⁻⁶)" in page.inside(
        "entry-posted-identity-v-breast-cancer-logistic-sum"
    )


def test_the_twins_say_the_same(write_run: Write, judged: Json) -> None:
    folder = write_run(judged)
    text = build_report(folder, form="markdown").read_text(encoding="utf-8")
    told = json.loads(build_report(folder, form="json").read_text(encoding="utf-8"))
    entries = [entry for section in told["sections"] for entry in section["entries"]]
    for claim, entry in zip(judged["claims"], entries, strict=True):
        standing = entry["standing"]
        assert (standing or {"words": ""})["words"] == words_of(claim)
        row = next(
            line
            for line in text.splitlines()
            if line.startswith(f"| {claim['id']} ") and claim["problem"] in line
        )
        assert row.split(" | ")[3] == (words_of(claim) or "–")
    assert "6 entries decided at once" in text
    assert "6 entries decided at once" in told["summary"][-1]


def test_a_run_that_does_not_say_has_no_marks(write_run: Write, results: Json) -> None:
    page = Page(build_report(write_run(results)).read_text(encoding="utf-8"))
    assert not page.find("span", **{"class": "standing"})
    assert "decided at once" not in summary(page)


def test_what_is_no_standing_is_refused(write_run: Write, judged: Json) -> None:
    judged["claims"][0]["family_wise"]["stands"] = "yes"
    with pytest.raises(ReportError, match=r"family_wise\.stands must be true or false"):
        build_report(write_run(judged))


def test_a_part_that_is_not_judged_is_reported(write_run: Write, judged: Json) -> None:
    claim = judged["claims"][0]
    claim["parts"][2] |= {"judged": False, "headline": False}
    folder = write_run(judged)
    html = build_report(folder).read_text(encoding="utf-8")
    rows = [row for row in Page(html).find("tr") if row.startswith("half the slope")]
    assert [row.endswith("reported, not judged") for row in rows] == [True, False]
    text = build_report(folder, form="markdown").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| half the slope")]
    assert [row.endswith("| reported | – |") for row in rows] == [True, False]


def test_what_else_narrows_an_interval_is_said(write_run: Write, judged: Json) -> None:
    own, other = judged["claims"][0]["parts"][:2]
    own["over"], other["over"] = "models", "targets"
    folder = write_run(judged)
    html = build_report(folder).read_text(encoding="utf-8")
    (row,) = [
        row
        for row in Page(html).find("tr")
        if "More targets would narrow its interval." in row
    ]
    assert row.startswith("direction kept")
    text = build_report(folder, form="markdown").read_text(encoding="utf-8")
    assert text.count("would narrow its interval") == 1


def test_statistics_are_named_in_words(write_run: Write, judged: Json) -> None:
    judged["claims"][0]["statistics"]["reliability a"] = {
        "value": 0.9,
        "low": 0.8,
        "high": 1.0,
    }
    page = Page(build_report(write_run(judged)).read_text(encoding="utf-8"))
    section = page.inside("entry-posted-identity-v-breast-cancer-logistic-sum")
    assert re.search(r"slope by least squares, not corrected ?1\.8", section)
    assert re.search(r"reliability of the estimate ?0\.9", section)

"""Which entries stand when all are taken together, on the page and in its twins."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_report_page import Page, summary

from reports import build_report
from reports.load import ReportError
from validation.multiplicity import family_wise

Json = dict[str, Any]
Write = Callable[[Json], Path]
STANDS, NOT = "stands", "does not stand"


@pytest.fixture
def judged(results: Json) -> Json:
    """The made-up run, its entries judged together as a run's are."""
    # As expected by its own interval, 2.03 standard errors inside: p = .021, times 4.
    bridge = next(one for one in results["claims"] if one["id"] == "bridge")
    bridge["parts"][0] |= {"value": 1.025, "low": 0.9525, "high": 1.0975}
    for claim in results["claims"]:
        for part in claim["parts"]:
            part.setdefault("headline", True)
    found = family_wise(results["claims"])
    for claim, told in zip(results["claims"], found, strict=True):
        claim["family_wise"] = told
    return results


def words_of(claim: Json) -> str:
    if claim["passed"] is None:
        return ""
    return STANDS if claim["family_wise"]["stands"] else NOT


def test_the_sample_has_every_case(judged: Json) -> None:
    found = [(c["id"], c["passed"], words_of(c)) for c in judged["claims"]]
    assert ("bridge", True, NOT) in found
    assert ("noise-law", False, NOT) in found
    assert ("multilinear-identity", True, STANDS) in found
    assert ("leakage", None, "") in found


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
    assert f"{standing} stand together: in at most one run in twenty" in lead
    assert "by its interval alone: bridge on digits-network-sum." in lead
    bridge = next(one for one in judged["claims"] if one["id"] == "bridge")
    p = bridge["family_wise"]["adjusted"]
    assert 0.05 < p < 0.2
    section = page.inside("entry-bridge-m-digits-network-sum")
    assert f"(p {p:.2g})" in section
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

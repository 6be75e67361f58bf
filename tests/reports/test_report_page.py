"""The page of a run, read as a browser would read it."""

import base64
import hashlib
import html as html_module
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import reports
from reports import build_report

Json = dict[str, Any]
Write = Callable[[Json], Path]
ENV = "environment"
TEMPLATES = Path(reports.__file__).parent / "templates"
VOID = {"meta", "img", "br", "link", "input", "hr", "mspace"}


class Page(HTMLParser):
    """Elements with their attributes and text, and the balance of the tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[int] = []
        self.feed(text)
        assert not self._open, "some element is never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        last = self._open.pop()
        assert self.elements[last][0] == tag

    def handle_data(self, data: str) -> None:
        for index in self._open:
            self.elements[index][2].append(data)

    def find(self, tag: str, **attributes: str) -> list[str]:
        """Return the text of every such element."""
        return [
            " ".join("".join(text).split())
            for name, given, text in self.elements
            if name == tag
            and all(given.get(key) == value for key, value in attributes.items())
        ]

    def inside(self, identity: str) -> str:
        """Return the text of the element with this id."""
        for _, given, text in self.elements:
            if given.get("id") == identity:
                return " ".join("".join(text).split())
        raise AssertionError(f"no element with id {identity}")


def built(write_run: Write, results: Json) -> str:
    return build_report(write_run(results)).read_text(encoding="utf-8")


def summary(page: Page) -> str:
    return " ".join(page.find("p", **{"class": "lead"}))


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory, whole_run: Json) -> str:
    folder = tmp_path_factory.mktemp("run")
    for name, data in (("results", whole_run), ("environment", whole_run[ENV])):
        (folder / f"{name}.json").write_text(json.dumps(data))
    return build_report(folder).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_nothing_is_loaded_from_outside(html: str, page: Page) -> None:
    for _, attributes, _ in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            address = attributes.get(name)
            assert address is None or address.startswith(("#", "data:image/png;"))
    # An address that does not point into the page would be fetched.
    assert not re.search(r"@import|url\((?!#)|<link|https?://", html)


def only_script(html: str) -> str:
    """Check that the page runs our script, and that its policy allows no other."""
    (script,) = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    assert html.count("<script") == 1
    assert script == (TEMPLATES / "verdicts.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', html)
    assert policy is not None
    rules = html_module.unescape(policy.group(1)).split("; ")
    assert f"script-src 'sha256-{digest}'" in rules and "default-src 'none'" in rules
    return script


def test_the_page_runs_one_script_that_its_policy_names(html: str) -> None:
    # Nothing is sent, kept or written as markup by it.
    script = only_script(html)
    assert not re.search(r"fetch|XMLHttp|innerHTML|eval|localStorage|cookie", script)


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    ids = Counter(a["id"] for _, a, _ in page.elements if "id" in a)
    assert max(ids.values()) == 1
    for _, attributes, _ in page.elements:
        href = attributes.get("href") or ""
        if href.startswith("#"):
            assert href[1:] in ids
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((attributes.get(name) or "").split()) <= set(ids)


def test_names_that_clash_still_get_ids_of_their_own(
    write_run: Write, results: Json
) -> None:
    twin = {**results["claims"][0], "problem": "breast cancer logistic SUM"}
    results["claims"] += [twin, {**twin, "problem": "###"}, {**twin, "problem": ""}]
    page = Page(built(write_run, results))
    test_ids_are_unique_and_links_lead_somewhere(page)


def test_every_entry_stands_in_the_table_and_has_a_section(
    page: Page, results: Json
) -> None:
    rows = [row for row in page.find("tr") if "Claim Verdict" not in row]
    for claim in results["claims"]:
        row = next(
            row
            for row in rows
            if row.startswith(claim["id"]) and claim["problem"] in row
        )
        assert claim["verdict"] in row
        slug = "-".join(("entry", claim["id"], claim["scale"].lower()))
        section = page.inside(f"{slug}-{claim['problem']}")
        assert claim["verdict"] in section
        assert claim["reason"] in section
        for part in claim["parts"]:
            assert part["name"] in section
        for control in claim["controls"]:
            assert f"{control['name']} → gives" in section
        outcome = {
            True: "as expected",
            False: f"expected {claim['expected']}",
            None: "not run",
        }[claim["passed"]]
        assert outcome in row and outcome in section


def test_the_verdicts_come_first(html: str) -> None:
    names = ("verdicts", "method", "cases", "claims", "wrong", "making")
    places = [html.index(f'<section id="{name}"') for name in names]
    assert places == sorted(places)


def test_headings_are_in_order_and_tables_have_headers(page: Page) -> None:
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    for before, after in itertools.pairwise(levels):
        assert after <= before + 1
    headers = [given for tag, given, _ in page.elements if tag == "th"]
    assert headers and all(given.get("scope") in ("row", "col") for given in headers)
    tables = sum(tag == "table" for tag, _, _ in page.elements)
    assert tables == sum(tag == "caption" for tag, _, _ in page.elements)


def test_pictures_have_words_and_drawings_are_labelled(page: Page) -> None:
    images = [given for tag, given, _ in page.elements if tag == "img"]
    # The target and each example once, whatever the number of estimates.
    assert len(images) == 11
    assert all(given.get("alt") for given in images)
    for tag, given, _ in page.elements:
        if tag == "svg":
            labelled = given.get("role") == "img" and given.get("aria-labelledby")
            assert labelled or given.get("aria-hidden") == "true"


def test_the_numbers_of_a_figure_are_the_data(write_run: Write, results: Json) -> None:
    results["claims"] = results["claims"][:1]
    results["cases"] = []
    html = built(write_run, results)
    figure = results["claims"][0]["figure"]
    table = html[html.index("<details>") : html.index("</details>")]
    assert "the first 40 of 900" in table
    rows = re.findall(
        r"<tr><th scope=\"row\">(\d+)</th><td>(.*?)</td><td>(.*?)</td>", table
    )
    assert [int(row[0]) for row in rows] == list(range(1, 41))
    for row, x, y in zip(rows, figure["x"], figure["y"], strict=False):
        assert float(row[1]) == pytest.approx(x, rel=1e-5)
        assert float(row[2]) == pytest.approx(y, rel=1e-5)


def test_an_exact_number_has_no_interval(page: Page) -> None:
    section = page.inside("entry-multilinear-identity-c-random-set-function")
    assert "3.1×10⁻¹⁴ exact 0 to 10⁻¹⁰" in section
    assert "[" not in section


def test_the_summary_is_made_from_the_numbers(page: Page) -> None:
    lead = summary(page)
    assert "slope was 2.04 [2.01, 2.07] on breast-cancer-logistic-sum and 2.11" in lead
    assert "the identity is refuted there" in lead
    assert "their correlation, errors taken out, is 0.995." in lead
    assert "own weight (slope 1.01 [0.98, 1.04] on digits-network-sum" in lead
    assert "3 of 5 entries of the table came out as theory says" in lead
    assert "1 of 1 entry did" in lead
    assert "One entry was skipped" in lead
    assert "Of 4 estimates that were wrong on purpose and had to be noticed, 4" in lead


def test_both_normalisations_are_told_apart(write_run: Write, results: Json) -> None:
    results["problems"][0]["normalisation"] = "count"
    lead = summary(Page(built(write_run, results)))
    first, second = lead.split("Where it divides by the sum")
    assert "by N, as the post writes it, the slope was 2.04 [2.01, 2.07]" in first
    assert "2.11 [2.02, 2.21] on digits-network-sum" in second
    results["claims"][0]["verdict"] = "supported"
    lead = summary(Page(built(write_run, results)))
    assert "supported there" in lead and "refuted there" in lead


def test_the_summary_does_not_claim_what_the_run_did_not_find(
    write_run: Write, results: Json
) -> None:
    for claim in results["claims"]:
        if claim["id"] == "posted-identity":
            claim["verdict"] = "inconclusive"
            claim["controls"][0]["passed"] = True
            claim["parts"][1]["verdict"] = "inconclusive"
    lead = summary(Page(built(write_run, results)))
    assert "the identity is inconclusive there" in lead
    assert "had to be noticed, 2 were" in lead
    assert "one direction is not decided alike" in lead
    for claim in results["claims"]:
        for control in claim["controls"]:
            control["required"] = not control["passed"]
    assert "Of 2 estimates" in summary(Page(built(write_run, results)))
    results["claims"] = [c for c in results["claims"] if c["scale"] == "C"]
    lead = summary(Page(built(write_run, results)))
    assert "The post" not in lead and "real data" not in lead


def test_cases_show_scores_with_intervals(page: Page) -> None:
    digits = page.inside("case-digits-network-sum-a-zero-that-the-network-is-unsure-of")
    # One row an example, all three estimates of it in the row.
    row = next(row for row in page.find("li") if row.startswith("117, a zero"))
    assert row == (
        "117, a zero Datamodel 0.21 [0.18, 0.24] "
        "Response derivative 0.099 [0.079, 0.119] Influence 0.0840"
    )
    assert "drawn on one axis" in digits
    patient = page.inside("case-breast-cancer-logistic-sum-a-patient-on-the-border")
    assert "first 10 of 14 features" in patient
    assert "axis of its own" in patient


def test_every_text_is_escaped(write_run: Write, results: Json) -> None:
    attack = "<script>alert(1)</script>\"'&"

    def spoil(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: spoil(item) for key, item in value.items()}
        if isinstance(value, list):
            return [spoil(item) for item in value]
        words = ("supported", "refuted", "inconclusive", "skipped", *"CVMG", "sum")
        if isinstance(value, str) and value not in words:
            return attack
        return value

    folder = write_run(spoil(results))
    record = {attack: attack}
    case = results["cases"][1]
    case["target"]["record"] = record
    html = build_report(folder).read_text(encoding="utf-8")
    only_script(html)
    assert "&lt;script&gt;" in html
    page = Page(html)
    assert not any(
        name.startswith("on") for _, given, _ in page.elements for name in given
    )
    assert any(attack in text for text in page.find("h3"))


@pytest.mark.parametrize("empty", ["claims", "cases", "problems"])
def test_a_run_with_little_in_it_still_has_a_page(
    write_run: Write, results: Json, empty: str
) -> None:
    results[empty] = []
    assert "How it was made" in built(write_run, results)


def test_how_it_was_made_is_all_there(page: Page, results: Json) -> None:
    making = page.inside("making")
    for key in ("commit", "config_digest", "command"):
        assert results[key] in making
    for text in ("2 min 14 s", "41,200", "torch 2.13.0", "0.941 at w = 1"):
        assert text in making
    assert "22 November 2025, 07:21 UTC" in making


def test_a_full_suite_stays_below_three_megabytes(
    write_run: Write, results: Json
) -> None:
    sizes = []
    for n_entries in (2, 6):
        results["claims"] = [results["claims"][0]] * n_entries
        sizes.append(len(built(write_run, results).encode()))
    assert (sizes[1] - sizes[0]) / 4 < 3e6 / 70


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_stands_out_from_its_ground(html: str, scheme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", html, flags=re.DOTALL)[scheme]
    colours = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", block))
    pairs = [
        (text, ground, 4.5)
        for text in ("--ink", "--soft", "--link", "--good", "--bad")
        for ground in ("--paper", "--raised", "--bad-wash")
    ]
    pairs += [
        (mark, "--raised", 3.0)
        for mark in ("--figure-points", "--figure-fitted", "--figure-ink")
    ]
    for text, ground, least in pairs:
        light, dark = sorted(map(luminance, (colours[text], colours[ground])))[::-1]
        assert (light + 0.05) / (dark + 0.05) >= least, (text, ground)

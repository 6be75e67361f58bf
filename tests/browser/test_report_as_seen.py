"""The report in Chromium: what a reader sees, touches and prints."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
from chromium import PIXELS_PER_INCH, Tab

Json = dict[str, Any]
PHONE, DESK = 375, 1440
SCHEMES = ("light", "dark")
MARGIN_INCHES = 0.4
PAPER = round((8.27 - 2 * MARGIN_INCHES) * PIXELS_PER_INCH)
# At least this high, or a label is no longer read on a phone.
LEAST_TEXT = 9

MEASURE = """(() => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  const edge = document.documentElement.clientWidth;
  const inBox = (e) => e.closest(".scroll, .skip, .sr, svg, math");
  const out = [...document.body.querySelectorAll("*")].filter((e) => !inBox(e)
    && (e.getBoundingClientRect().right > edge + 0.5
      || e.getBoundingClientRect().left < -0.5));
  const cut = [...document.querySelectorAll(".formula, td, th, dd, p, summary, label")]
    .filter((e) => !e.closest(".sr") && e.scrollWidth > e.clientWidth + 1
      && e.clientWidth > 0);
  const figures = [...document.querySelectorAll("svg.figure")].map((e) => {
    const box = e.getBoundingClientRect();
    const texts = [...e.querySelectorAll("text")].map((t) => t.getBoundingClientRect());
    return {
      left: Math.min(...texts.map((t) => t.left)) - box.left,
      right: box.right - Math.max(...texts.map((t) => t.right)),
      height: Math.min(...texts.map((t) => t.height)),
    };
  });
  const name = (e) => `${e.tagName}.${e.className}: ${e.textContent.slice(0, 60)}`;
  return {
    sideways: document.documentElement.scrollWidth - edge,
    out: out.map(name), cut: cut.map(name), figures,
  };
})()"""
ROWS = """[...document.querySelectorAll("table.verdicts tbody tr")]
  .filter((row) => row.checkVisibility())
  .map((row) => [row.cells[0], row.cells[3], row.cells[5]]
    .map((cell) => cell.textContent.trim()))"""


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_page_loads_without_complaint_and_stays_within_the_window(
    tab: Tab, page: Path, shots: Path, width: int, scheme: str
) -> None:
    tab.look(width=width, scheme=scheme)
    tab.open(page)
    tab.screenshot(shots / f"report-{width}-{scheme}.png")
    found = tab.run(MEASURE)
    assert found["sideways"] <= 0 and not found["out"] and not found["cut"]
    assert len(found["figures"]) >= 8
    for figure in found["figures"]:
        assert figure["left"] > -1 and figure["right"] > -1, "a label leaves its figure"
        assert figure["height"] > LEAST_TEXT
    assert tab.complaints() == []


def test_the_probe_sees_what_sticks_out(tab: Tab, page: Path) -> None:
    tab.look(width=PHONE)
    tab.open(page)
    tab.run('document.querySelector("h1").style.width = "500px"')
    tab.run('document.querySelector(".lead").textContent += "x".repeat(90)')
    tab.run('document.querySelector(".lead").style.overflowWrap = "normal"')
    found = tab.run(MEASURE)
    assert found["sideways"] > 0 and found["out"] and found["cut"]
    tab.run("console.error('spoiled')")
    assert any("spoiled" in said for said in tab.complaints())


def test_no_script_of_others_runs(tab: Tab, page: Path) -> None:
    tab.open(page)
    tab.run("""(() => { const s = document.createElement("script");
      s.textContent = "window.ran = true"; document.body.append(s); })()""")
    assert tab.run("window.ran === undefined")
    assert any("Content Security Policy" in said for said in tab.complaints())


def choose(tab: Tab, field: str, value: str) -> None:
    tab.run(f"""(() => {{ const field = document.getElementById("filter")
      .elements.namedItem({json.dumps(field)});
      field.value = {json.dumps(value)};
      field.dispatchEvent(new Event("input", {{bubbles: true}})); }})()""")


def test_the_filter_keeps_the_rows_it_says(tab: Tab, page: Path) -> None:
    tab.open(page)
    everything = tab.run(ROWS)
    assert len(everything) == 7
    choose(tab, "words", "network POSTED")
    assert tab.run(ROWS) == []
    choose(tab, "words", "breast slope")
    assert [row[0] for row in tab.run(ROWS)] == ["posted-identity", "one-over-n"]
    choose(tab, "outcome", "bad")
    assert [row[0] for row in tab.run(ROWS)] == ["one-over-n"]
    assert tab.run('document.querySelector("#filter output").textContent') == (
        "1 of 7 rows"
    )
    choose(tab, "words", "")
    assert [row[0] for row in tab.run(ROWS)] == ["noise-law", "one-over-n"]
    choose(tab, "verdict", "inconclusive")
    assert [row[0] for row in tab.run(ROWS)] == ["noise-law"]
    tab.run('document.querySelector("#filter button").click()')
    tab.run("new Promise((done) => setTimeout(done))")
    assert tab.run(ROWS) == everything
    choose(tab, "scale", "G")
    assert [row[0] for row in tab.run(ROWS)] == ["leakage"]


def test_columns_sort_both_ways_numbers_as_numbers(tab: Tab, page: Path) -> None:
    tab.open(page)

    def sort(column: int) -> str:
        header = f'document.querySelector("table.verdicts thead tr").cells[{column}]'
        tab.run(f'{header}.querySelector("button").click()')
        marked = 'document.querySelectorAll("[aria-sort]").length'
        assert tab.run(marked) == 1
        return tab.run(f'{header}.getAttribute("aria-sort")')

    # As texts 12,000 would stand before 6,000, and "none" after all.
    models = ["none", "none", "301", "3,200", "6,000", "12,000", "20,000"]
    assert sort(5) == "ascending"
    assert [row[2] for row in tab.run(ROWS)] == models
    assert sort(5) == "descending"
    assert [row[2] for row in tab.run(ROWS)] == models[::-1]
    assert sort(0) == "ascending"
    names = [row[0] for row in tab.run(ROWS)]
    assert names == sorted(names) and len(names) == 7


def test_without_scripts_the_table_is_whole_and_plain(
    tab: Tab, page: Path, shots: Path
) -> None:
    tab.open(page)
    with_scripts = tab.run(ROWS)
    tab.open(page, scripts=False)
    tab.screenshot(shots / "report-without-scripts.png")
    assert tab.run(ROWS) == with_scripts
    assert tab.run('document.getElementById("filter").checkVisibility()') is False
    assert tab.run('document.querySelectorAll("th button").length') == 0


def reached_by_tab(tab: Tab) -> int:
    """Check that the key reaches all that can be acted on, and return how many."""
    wanted = tab.run("""(() => {
      const all = [...document.querySelectorAll(
        "a[href], button, input, select, summary, [tabindex='0']")];
      window.wanted = all.filter((e) => e.checkVisibility());
      return window.wanted.length; })()""")
    seen = []
    for _ in range(wanted):
        tab.press("Tab", 9)
        seen.append(
            tab.run("""[window.wanted.indexOf(document.activeElement),
              getComputedStyle(document.activeElement).outlineStyle !== "none"]""")
        )
    assert [place for place, _ in seen] == list(range(wanted))
    assert all(visible for _, visible in seen)
    return wanted


def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    tab: Tab, page: Path
) -> None:
    tab.look(width=DESK)
    tab.open(page)
    assert reached_by_tab(tab) > 40


def test_enter_sorts_and_opens(tab: Tab, page: Path) -> None:
    tab.open(page)
    tab.run('document.querySelector("th button").focus()')
    tab.press("Enter", 13, "\r")
    assert tab.run('document.querySelector("th").getAttribute("aria-sort")')
    tab.run('document.querySelector("summary").focus()')
    tab.press("Enter", 13, "\r")
    assert tab.run('document.querySelector("details").open')


def axe_source() -> str:
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("no axe-core: pip install axe-core-python==0.1.0")
    return Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8")


def violations(tab: Tab, where: str = "document") -> list[str]:
    tab.run(axe_source() + "; undefined")
    return tab.run(f"""axe.run({where}, {{resultTypes: ["violations"]}}).then((r) =>
      r.violations.map((v) => `${{v.id}}: ${{v.nodes[0].html.slice(0, 200)}}`))""")


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light"), (DESK, "dark")])
def test_axe_finds_nothing(tab: Tab, page: Path, width: int, scheme: str) -> None:
    tab.look(width=width, scheme=scheme)
    tab.open(page)
    tab.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert violations(tab) == []


def test_axe_finds_what_is_spoiled(tab: Tab, page: Path) -> None:
    tab.open(page)
    tab.run("""(() => { document.querySelector("img").removeAttribute("alt");
      document.querySelector("#cases .text").style.color = "#bbb"; })()""")
    found = {said.partition(":")[0] for said in violations(tab, "'#cases'")}
    assert {"image-alt", "color-contrast"} <= found


# Links at both ends of a figure: a PDF says of every link on which page it is.
MARK = """(() => {
  const mark = (where, name, place) => {
    const link = document.createElement("a");
    link.href = `https://mark.example/${name}/${place}`;
    link.style.cssText = "display: block; flex: none; width: 2px; height: 2px";
    where(link);
  };
  const wholes = [...document.querySelectorAll("figure.drawing, ol.examples > li")];
  wholes.forEach((whole, place) => {
    mark((link) => whole.firstElementChild.prepend(link), "first", place);
    const last = whole.querySelector(".legend") || whole.lastElementChild;
    mark((link) => last.append(link), "last", place);
  });
  return wholes.length;
})()"""


def pages_of_marks(pdf: bytes) -> list[set[str]]:
    """Return the marks on every page of what the browser printed."""
    targets = {
        int(number): address.decode()
        for number, address in re.findall(
            rb"(\d+) 0 obj\n<</Type /Annot\n.{0,200}?https://mark\.example/([^)]*)\)",
            pdf,
            flags=re.DOTALL,
        )
    }
    return [
        {
            targets[int(number)]
            for number in re.findall(rb"(\d+) 0 R", annotations)
            if int(number) in targets
        }
        for annotations in re.findall(
            rb"/Type /Page\n(?:(?!endobj).)*?/Annots \[(.*?)\]", pdf, flags=re.DOTALL
        )
    ]


def cut_figures(tab: Tab, path: Path | None = None) -> tuple[int, list[int]]:
    total = tab.run(MARK)
    printed = tab.pdf()
    if path is not None:
        path.write_bytes(printed)
    pages = pages_of_marks(printed)
    assert sum(map(len, pages)) == 2 * total
    whole = [
        place
        for place in range(total)
        if any({f"first/{place}", f"last/{place}"} <= page for page in pages)
    ]
    return total, sorted(set(range(total)) - set(whole))


def test_no_figure_is_cut_in_print(tab: Tab, page: Path, shots: Path) -> None:
    tab.open(page)
    total, cut = cut_figures(tab, shots / "report.pdf")
    assert total >= 20 and cut == []


def test_the_probe_sees_a_cut_figure(tab: Tab, page: Path) -> None:
    tab.open(page)
    tab.run('document.querySelector("figure.drawing svg").style.height = "1500px"')
    assert cut_figures(tab)[1] == [
        tab.run("""[...document.querySelectorAll("figure.drawing, ol.examples > li")]
        .indexOf(document.querySelector("figure.drawing"))""")
    ]


def leaving_the_paper(tab: Tab) -> list[str]:
    """Return what reaches beyond the right edge of the paper."""
    return tab.run(f"""[...document.querySelectorAll("table, svg, figure, p")]
      .filter((e) => e.getBoundingClientRect().right > {PAPER} + 1)
      .map((e) => e.outerHTML.slice(0, 120))""")


def test_nothing_leaves_the_paper(tab: Tab, page: Path, shots: Path) -> None:
    tab.look(width=PAPER, media="print")
    tab.open(page)
    tab.screenshot(shots / "report-print.png")
    assert leaving_the_paper(tab) == []

"""Build one self-contained page from a validation run's data."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dmtheory.rendering import (
    environment,
    format_number,
    html_table,
    interval_text,
    png_data_uri,
    write_atomically,
)
from dmtheory.rendering.figures import (
    Curve,
    Drawing,
    LogAxes,
    Scatter,
    Slope,
    draw_scatter,
)
from dmtheory.rendering.whiskers import Domain, common_domain
from reports.load import ReportError, Run, load_run
from reports.studies import study_of
from reports.summary import summary_sentences

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_ROWS = 40
_MOST_HEADLINES = 3
# Estimates whose ranges differ by more are each drawn on an axis of their own.
_COMPARABLE = 6.0
_LOG_AXES: dict[Any, LogAxes] = {None: "", False: "", True: "xy", "x": "x", "y": "y"}


@dataclass(frozen=True, slots=True)
class Headline:
    """One number that stands for an entry in the table of verdicts.

    Attributes:
        name: What the number is.
        value: The number as text.
        interval: Its interval as text.
    """

    name: str
    value: str
    interval: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One claim decided at one scale on one problem.

    Attributes:
        data: The entry as the run wrote it.
        anchor: Its id in the page.
        headlines: The numbers that stand for it.
        drawing: Its figure, if any.
        numbers: Tables of the numbers that the figure shows.
        statistics: Statistics that are not among its parts already.
    """

    data: dict[str, Any]
    anchor: str
    headlines: tuple[Headline, ...]
    drawing: Drawing | None
    numbers: tuple[Markup, ...]
    statistics: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Section:
    """A claim with its entries.

    Attributes:
        name: The claim's id.
        anchor: Its id in the page.
        first: The entry whose title, statement and source head the section.
        entries: One a scale and problem.
    """

    name: str
    anchor: str
    first: dict[str, Any]
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One target and the training examples that matter to it.

    Attributes:
        data: The case as the run wrote it.
        anchor: Its id in the page.
        domains: The axis of each estimate.
        shared: Whether all estimates are drawn on one axis.
    """

    data: dict[str, Any]
    anchor: str
    domains: tuple[Domain, ...]
    shared: bool


def build_report(run_folder: Path) -> Path:
    """Write a run's page.

    Args:
        run_folder: Folder with the run's `results.json` and `environment.json`.

    Returns:
        The path of the page, `report.html` in that folder.

    Raises:
        ReportError: If the data is missing or is not what a page needs.
    """
    run = load_run(run_folder)
    path = run_folder / "report.html"
    write_atomically(path, render_report(run))
    return path


def render_report(run: Run) -> str:
    """Turn a run's data into the text of its page.

    Args:
        run: The run's data.

    Returns:
        A whole HTML document that refers to nothing outside itself.

    Raises:
        ReportError: If a figure or a picture in the data cannot be drawn.
    """
    results = run.results
    anchors = _Anchors()
    try:
        sections = _sections(results["claims"], anchors)
        cases = tuple(_case(case, anchors) for case in results["cases"])
        studies = tuple(
            study_of(study, anchors.make) for study in results.get("studies", ())
        )
        templates = environment(_TEMPLATES)
        templates.globals["picture_address"] = _picture_address
        return templates.get_template("report.html").render(
            run=results,
            environment=run.environment,
            started=_when(results["started"]),
            summary=summary_sentences(results),
            sections=sections,
            section_of=lambda names: [s for s in sections if s.name in names],
            entries=[entry for section in sections for entry in section.entries],
            cases=cases,
            studies=studies,
        )
    except ValueError as error:
        raise ReportError(f"the run's data cannot be drawn: {error}") from error


class _Anchors:
    """Ids that are unique in the page, whatever the names are."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def make(self, *names: str) -> str:
        words = (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in names)
        base = "-".join(word or "x" for word in words)
        anchor, count = base, 1
        while anchor in self._taken:
            count += 1
            anchor = f"{base}-{count}"
        self._taken.add(anchor)
        return anchor


def _sections(
    claims: Sequence[dict[str, Any]], anchors: _Anchors
) -> tuple[Section, ...]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for claim in claims:
        grouped.setdefault(claim["id"], []).append(claim)
    return tuple(
        Section(
            name=name,
            anchor=anchors.make("claim", name),
            first=entries[0],
            entries=tuple(_entry(entry, anchors) for entry in entries),
        )
        for name, entries in grouped.items()
    )


def _entry(claim: dict[str, Any], anchors: _Anchors) -> Entry:
    anchor = anchors.make("entry", claim["id"], claim["scale"], claim["problem"])
    scatter = None if claim["figure"] is None else _scatter(claim["figure"])
    return Entry(
        data=claim,
        anchor=anchor,
        headlines=_headlines(claim),
        drawing=None
        if scatter is None
        else draw_scatter(scatter, name=anchors.make("f")),
        numbers=() if scatter is None else tuple(_numbers(scatter)),
        statistics={
            name: found
            for name, found in claim["statistics"].items()
            if not any(
                part["name"] == name and part["value"] == found["value"]
                for part in claim["parts"]
            )
        },
    )


def _headlines(claim: dict[str, Any]) -> tuple[Headline, ...]:
    # A part that came out wrong is what a reader must see, so it goes first.
    parts = sorted(claim["parts"], key=lambda part: part["passed"] is not False)
    named = [(part["name"], part) for part in parts] or claim["statistics"].items()
    texts = [
        (name, interval_text(found["value"], found["low"], found["high"]))
        for name, found in named
        if found["value"] is not None
    ]
    return tuple(
        Headline(name, text.value, text.interval)
        for name, text in texts[:_MOST_HEADLINES]
    )


def _scatter(figure: dict[str, Any]) -> Scatter | None:
    curves = tuple(
        Curve(tuple(line["x"]), tuple(line["y"]), line["label"])
        for line in figure.get("lines") or ()
    )
    if not figure["x"] and not curves:
        return None
    return Scatter(
        x=tuple(figure["x"]),
        y=tuple(figure["y"]),
        title=figure["title"],
        x_label=figure["x_label"],
        y_label=figure["y_label"],
        fitted=_slope(figure["fitted_slope"], figure["fitted_label"]),
        predicted=_slope(figure["predicted_slope"], figure["predicted_label"]),
        curves=curves,
        log=_LOG_AXES.get(figure.get("log"), ""),
    )


def _slope(value: float | None, label: str) -> Slope | None:
    if value is None:
        return None
    number = format_number(value, trim=True)
    said = re.search(rf"(?<![\d.]){re.escape(number)}(?![\d./])", label)
    return Slope(value, label if said else f"{label} ({number})")


def _numbers(scatter: Scatter) -> Iterable[Markup]:
    named = [("Points", scatter.x, scatter.y)] if scatter.x else []
    named += [(curve.label, curve.x, curve.y) for curve in scatter.curves]
    for name, x, y in named:
        shown = min(len(x), _MOST_ROWS)
        # Enough digits to compute with, in the form that spreadsheets read.
        rows = [
            (index + 1, f"{x[index]:.6g}", f"{y[index]:.6g}") for index in range(shown)
        ]
        count = (
            f"all {shown}" if shown == len(x) else f"the first {shown} of {len(x):,}"
        )
        yield html_table(
            ("", scatter.x_label, scatter.y_label),
            rows,
            caption=f"{name}, {count}",
            row_headers=True,
        )


def _case(case: dict[str, Any], anchors: _Anchors) -> Case:
    domains = tuple(_domain(estimate) for estimate in case["estimates"])
    spans = [high - low for low, high in domains]
    shared = bool(spans) and max(spans) <= _COMPARABLE * min(spans)
    if shared:
        whole = (min(low for low, _ in domains), max(high for _, high in domains))
        domains = (whole,) * len(domains)
    return Case(
        data=case,
        anchor=anchors.make("case", case["problem"], case["title"]),
        domains=domains,
        shared=shared and len(spans) > 1,
    )


def _domain(estimate: dict[str, Any]) -> Domain:
    examples = [*estimate["helpful"], *estimate["harmful"]]
    ends = [example[key] for example in examples for key in ("score", "low", "high")]
    return common_domain([0.0, *ends])


def _picture_address(image: list[Any]) -> str:
    # Grey pictures here are ink on paper, such as digits; colour is light.
    colour = bool(image and image[0] and isinstance(image[0][0], list))
    return png_data_uri(image, ink=not colour)


def _when(started: str) -> str:
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return started
    zone = moment.tzname() or ""
    return f"{moment.day} {moment:%B %Y, %H:%M} {zone}".strip()

"""The report as one object, from which the page and its twins are made."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dmtheory.rendering import NOTHING, format_number, interval_text
from dmtheory.rendering.figures import (
    Curve,
    Drawing,
    LogAxes,
    Scatter,
    Slope,
    draw_scatter,
)
from dmtheory.rendering.tables import Table
from reports.cases import Case, case_of
from reports.changes import changes
from reports.estimands import Side, side_of
from reports.load import ReportError, Run
from reports.matrix import Matrix, matrix_of
from reports.method import METHOD, Chapter
from reports.studies import Study, study_of
from reports.summary import summary_sentences
from reports.together import Standing, standing_of

Json = dict[str, Any]
_MOST_HEADLINES = 3
_LONGEST_ID = 120
# What the report tells in its own way.
_TOLD = ("claims", "cases", "studies", "environment")
# What a run calls its statistics, of an estimate a on a reference b, in words.
_STATISTICS = {
    "slope": "slope, corrected for noise",
    "naive slope": "slope by least squares, not corrected",
    "pearson": "correlation",
    "spearman": "correlation of ranks",
    "disattenuated": "correlation, noise taken out",
    "reliability a": "reliability of the estimate",
    "reliability b": "reliability of the reference",
    "corrected relative error": "relative error, noise taken out",
}
_LOG_AXES: dict[Any, LogAxes] = {None: "", False: "", True: "xy", "x": "x", "y": "y"}


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One claim decided at one scale on one problem.

    Attributes:
        data: The entry as the run wrote it, without its figure.
        anchor: Its id in the page.
        headlines: The numbers that stand for it.
        sides: What is compared, explained.
        changes: What would change its verdict.
        standing: Whether it stands beside all others; None where that is not said.
        drawing: Its figure, if any.
        numbers: All the numbers that the figure shows.
        statistics: Statistics that are not among its parts already.
    """

    data: Json
    anchor: str
    headlines: tuple[Headline, ...]
    sides: tuple[Side, ...]
    changes: tuple[str, ...]
    standing: Standing | None
    drawing: Drawing | None
    numbers: tuple[Table, ...]
    statistics: dict[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
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
    first: Json
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a page says, before it is HTML, Markdown or JSON.

    Attributes:
        run: What the run says of itself and its problems.
        environment: The machine and the versions behind it.
        started: When, in words.
        summary: What was found, in sentences.
        sections: The claims.
        cases: Targets with the examples that matter to them.
        studies: Figures that explain the claims.
        matrix: What wrong estimates the claims notice.
        method: What the numbers mean.
    """

    run: Json
    environment: Json
    started: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    cases: tuple[Case, ...]
    studies: tuple[Study, ...]
    matrix: Matrix
    method: tuple[Chapter, ...] = METHOD

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries of all claims."""
        return tuple(entry for section in self.sections for entry in section.entries)

    @property
    def drawings(self) -> tuple[tuple[str, Drawing], ...]:
        """Every figure under a name that no other has."""
        found = [(e.anchor, e.drawing) for e in self.entries if e.drawing is not None]
        found += [
            (f"{study.anchor}-{place + 1}", figure.drawing)
            for study in self.studies
            for place, figure in enumerate(study.figures)
        ]
        return tuple(found)

    @property
    def tables(self) -> tuple[tuple[str, Table], ...]:
        """Every table of numbers under a name that no other has."""
        found = [("verdicts", self.verdicts), ("wrong-estimates", self.matrix.table)]
        found += [(case.anchor, case.table) for case in self.cases]
        found += [
            (f"{entry.anchor}-{place + 1}", table)
            for entry in self.entries
            for place, table in enumerate(entry.numbers)
        ]
        found += [
            (f"{study.anchor}-{place + 1}", figure.numbers)
            for study in self.studies
            for place, figure in enumerate(study.figures)
        ]
        return tuple(found)

    @property
    def verdicts(self) -> Table:
        """Every part of every entry with its numbers."""
        place, number = ("claim", "scale", "problem", "part"), ("value", "low", "high")
        said = "tolerance from", "to", "verdict", "expected", "together", "models"
        return Table(
            caption=f"Verdicts of the {self.run['suite']} suite, with 95 % intervals",
            columns=(*place, *number, *said),
            rows=tuple(row for entry in self.entries for row in _verdict_rows(entry)),
        )


def report_of(run: Run) -> Report:
    """Turn a run's data into what is reported of it.

    Args:
        run: The run's data.

    Returns:
        The report.

    Raises:
        ReportError: If a figure in the data cannot be drawn.
    """
    results, anchors = run.results, _Anchors()
    try:
        sections = _sections(results["claims"], anchors)
        return Report(
            run={key: results[key] for key in results if key not in _TOLD},
            environment=run.environment,
            started=_when(results["started"]),
            summary=tuple(summary_sentences(results)),
            sections=sections,
            cases=tuple(case_of(case, anchors.make) for case in results["cases"]),
            studies=tuple(
                study_of(study, anchors.make) for study in results.get("studies", ())
            ),
            matrix=matrix_of([
                (entry.data, entry.anchor)
                for section in sections
                for entry in section.entries
            ]),
        )
    except ValueError as error:
        raise ReportError(f"the run's data cannot be drawn: {error}") from error


class _Anchors:
    """Ids that are unique in the page, whatever the names are."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def make(self, *names: str) -> str:
        words = (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in names)
        # Files are named after ids, and file systems take 255 bytes.
        base = "-".join(word or "x" for word in words)[:_LONGEST_ID].rstrip("-")
        anchor, count = base, 1
        while anchor in self._taken:
            count += 1
            anchor = f"{base}-{count}"
        self._taken.add(anchor)
        return anchor


def _sections(claims: Sequence[Json], anchors: _Anchors) -> tuple[Section, ...]:
    grouped: dict[str, list[Json]] = {}
    for claim in claims:
        grouped.setdefault(claim["id"], []).append(claim)
    return tuple(
        Section(
            name=name,
            anchor=anchors.make("claim", name),
            first=entries[0],
            entries=tuple(_entry(entry, anchors.make) for entry in entries),
        )
        for name, entries in grouped.items()
    )


def _entry(claim: Json, make_anchor: Callable[..., str]) -> Entry:
    anchor = make_anchor("entry", claim["id"], claim["scale"], claim["problem"])
    scatter = None if claim["figure"] is None else _scatter(claim["figure"])
    return Entry(
        data={key: claim[key] for key in claim if key != "figure"},
        anchor=anchor,
        headlines=_headlines(claim),
        sides=tuple(side_of(one) for one in claim["estimands"]),
        changes=changes(claim),
        standing=standing_of(claim),
        drawing=None
        if scatter is None
        else draw_scatter(scatter, name=make_anchor("f")),
        numbers=() if scatter is None else tuple(_numbers(scatter)),
        statistics={
            _in_words(name): found
            for name, found in claim["statistics"].items()
            if not any(
                part["name"] == name and part["value"] == found["value"]
                for part in claim["parts"]
            )
        },
    )


def interval_over(part: Json) -> str:
    """Return what narrows a part's interval, where it is not models and seeds."""
    over = part.get("over", "models")
    if over == "models" or part["low"] == part["high"]:
        return ""
    return f"More {over} would narrow its interval."


def _in_words(statistic: str) -> str:
    plain = statistic.replace("_", " ")
    return _STATISTICS.get(plain, plain)


def _headlines(claim: Json) -> tuple[Headline, ...]:
    # A part that came out wrong is what a reader must see, so it goes first.
    parts = sorted(claim["parts"], key=lambda part: part["passed"] is not False)
    named = [(part["name"], part) for part in parts] or claim["statistics"].items()
    texts = [
        (name, interval_text(found["value"], found["low"], found["high"]))
        for name, found in named
        if found["value"] is not None
    ]
    return tuple(
        Headline(name=name, value=text.value, interval=text.interval)
        for name, text in texts[:_MOST_HEADLINES]
    )


def _scatter(figure: Json) -> Scatter | None:
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


def _numbers(scatter: Scatter) -> Iterable[Table]:
    named = [("Points", scatter.x, scatter.y)] if scatter.x else []
    named += [(curve.label, curve.x, curve.y) for curve in scatter.curves]
    for name, x, y in named:
        yield Table(
            caption=f"{name} of “{scatter.title}”",
            columns=("number", scatter.x_label, scatter.y_label),
            # Enough digits to compute with, in the form that spreadsheets read.
            rows=tuple(
                (str(index + 1), f"{x[index]:.6g}", f"{y[index]:.6g}")
                for index in range(len(x))
            ),
        )


def _verdict_rows(entry: Entry) -> Iterable[tuple[str, ...]]:
    claim = entry.data
    place = claim["id"], claim["scale"], claim["problem"]
    together = NOTHING if entry.standing is None else entry.standing.words
    of_all = together, str(claim["models_trained"])
    if not claim["parts"]:
        yield *place, *(NOTHING,) * 6, claim["verdict"], claim["expected"], *of_all
    for part in claim["parts"]:
        numbers = (part["value"], part["low"], part["high"], *part["tolerance"])
        texts = (NOTHING if number is None else f"{number:.6g}" for number in numbers)
        said = part["verdict"], part["expected"]
        yield *place, part["name"], *texts, *said, *of_all


def _when(started: str) -> str:
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return started
    zone = moment.tzname() or ""
    return f"{moment.day} {moment:%B %Y, %H:%M} {zone}".strip()

"""What a study is: figures that explain claims and decide nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dmtheory.agreement.bootstrap import Interval
from validation.claim import Entry, Evidence
from validation.laboratory import Laboratory

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One entry of the run: what was measured for it and how it was judged.

    Attributes:
        claim_id: The claim.
        entry: Scale and problem.
        evidence: What was measured.
        judged: The entry as results.json has it.
    """

    claim_id: str
    entry: Entry
    evidence: Evidence
    judged: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a study may look at.

    Attributes:
        laboratory: Makes and keeps the estimates.
        thorough: Whether the run may take an hour.
        findings: All entries of the run.
    """

    laboratory: Laboratory
    thorough: bool
    findings: Sequence[Finding]

    def of_claim(self, claim_id: str) -> list[Finding]:
        """Return the entries of a claim, those that could be judged."""
        return [
            finding
            for finding in self.findings
            if finding.claim_id == claim_id and not finding.evidence.blocked
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a study found on one problem.

    Attributes:
        figures: Charts and dot plots, of the shape that `reports.load` documents; none
            where there is nothing to show.
        legend: What the names in the figures stand for.
        note: What there is to say of this problem, after the study's own text.
    """

    figures: list[Json]
    legend: tuple[tuple[str, str], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A question that figures answer, made on one problem at a time.

    Attributes:
        id: Its name in results.
        title: A few words.
        text: What it shows and how to read it.
        scale: "V" or "M"; it is made where the run decides that scale.
        explains: Claims that it explains; it is made where the run decides one.
        problems: Which problems it is made on in a run; "" is several at once.
        make: Makes the figures of a problem.
    """

    id: str
    title: str
    text: str
    scale: str
    explains: tuple[str, ...]
    problems: Callable[[Run], Sequence[str]]
    make: Callable[[Run, str], Made]


def chart(
    series: Sequence[Json],
    *,
    title: str,
    x_label: str,
    y_label: str,
    caption: str = "",
    log: str = "",
    x_ticks: Sequence[float] = (),
    view: str = "all",
) -> Json:
    """Return a chart of results.json."""
    return {
        "kind": "chart",
        "title": title,
        "caption": caption,
        "x_label": x_label,
        "y_label": y_label,
        "log": log,
        "x_ticks": [float(x) for x in x_ticks],
        "view": view,
        "series": list(series),
    }


def series(
    label: str,
    x: Sequence[float],
    found: Sequence[Interval] | Sequence[float],
    *,
    mark: str = "both",
) -> Json:
    """Return a series of a chart; plain numbers have no interval."""
    rows = [one if isinstance(one, Interval) else None for one in found]
    return {
        "label": label,
        "mark": mark,
        "x": [float(v) for v in x],
        "y": [v.value if isinstance(v, Interval) else float(v) for v in found],
        "low": [None if row is None else row.low for row in rows],
        "high": [None if row is None else row.high for row in rows],
    }


def dots(label: str, found: Sequence[tuple[str, Interval]]) -> Json:
    """Return one kind of dots of a dot plot, a row each."""
    return {
        "label": label,
        "rows": [row for row, _ in found],
        "x": [interval.value for _, interval in found],
        "low": [interval.low for _, interval in found],
        "high": [interval.high for _, interval in found],
    }


def level(label: str, found: Interval) -> Json:
    """Return what the dots of a plot are held against."""
    return {"label": label, "x": found.value, "low": found.low, "high": found.high}


def dot_plot(
    kinds: Sequence[Json],
    *,
    rows: Sequence[str],
    title: str,
    x_label: str,
    caption: str = "",
    levels: Sequence[Json] = (),
    limits: tuple[float, float] | None = None,
) -> Json:
    """Return a dot plot of results.json."""
    return {
        "kind": "dots",
        "title": title,
        "caption": caption,
        "x_label": x_label,
        "rows": list(rows),
        "dots": list(kinds),
        "levels": list(levels),
        "limits": None if limits is None else list(limits),
    }

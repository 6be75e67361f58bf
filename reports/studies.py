"""Turn the studies of a run into figures, each with the table of its numbers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dmtheory.rendering import NOTHING
from dmtheory.rendering.canvas import Drawing
from dmtheory.rendering.charts import Chart, Series, draw_chart
from dmtheory.rendering.dots import DotPlot, Dots, Level, draw_dots
from dmtheory.rendering.tables import Table

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StudyFigure:
    """One figure of a study.

    Attributes:
        data: The figure as the run wrote it.
        drawing: It as a drawing.
        numbers: All its numbers as a table.
    """

    data: Json
    drawing: Drawing
    numbers: Table


@dataclass(frozen=True, slots=True)
class Study:
    """A study with its figures.

    Attributes:
        data: The study as the run wrote it.
        anchor: Its id in the page.
        figures: Its figures.
    """

    data: Json
    anchor: str
    figures: tuple[StudyFigure, ...]


def study_of(data: Json, make_anchor: Callable[..., str]) -> Study:
    """Draw a study's figures.

    Args:
        data: The study, as `load_run` checked it.
        make_anchor: Makes an id that is unique in the page.

    Returns:
        The study, ready for the page.

    Raises:
        ValueError: If a figure cannot be drawn.
    """
    return Study(
        data=data,
        anchor=make_anchor("study", data["id"], data["problem"]),
        figures=tuple(_figure(one, make_anchor("g")) for one in data["figures"]),
    )


def _figure(data: Json, name: str) -> StudyFigure:
    if data["kind"] == "dots":
        drawing = draw_dots(_dot_plot(data), name=name)
        columns = ("series", "row", data["x_label"], "95 % from", "to")
        return StudyFigure(data, drawing, _table(columns, _dot_rows(data), data))
    drawing = draw_chart(_chart(data), name=name)
    columns = ("series", data["x_label"], data["y_label"], "95 % from", "to")
    return StudyFigure(data, drawing, _table(columns, _chart_rows(data), data))


def _chart(data: Json) -> Chart:
    return Chart(
        title=data["title"],
        x_label=data["x_label"],
        y_label=data["y_label"],
        series=tuple(
            Series(
                label=one["label"],
                mark=one["mark"],
                **{key: tuple(one[key]) for key in ("x", "y", "low", "high")},
                trend=_trend(one),
            )
            for one in data["series"]
        ),
        log=data["log"],
        x_ticks=tuple(data["x_ticks"]),
        view=data["view"],
    )


def _dot_plot(data: Json) -> DotPlot:
    keys = ("rows", "x", "low", "high")
    return DotPlot(
        title=data["title"],
        x_label=data["x_label"],
        rows=tuple(data["rows"]),
        dots=tuple(
            Dots(label=one["label"], **{key: tuple(one[key]) for key in keys})
            for one in data["dots"]
        ),
        levels=tuple(
            Level(
                label=one["label"],
                **{key: one[key] for key in ("x", "low", "high")},
            )
            for one in data["levels"]
        ),
        limits=None if data["limits"] is None else tuple(data["limits"]),
    )


def _chart_rows(data: Json) -> Iterable[tuple[str, ...]]:
    for one in data["series"]:
        none = [None] * len(one["x"])
        ends = one["low"] or none, one["high"] or none
        for x, *numbers in zip(one["x"], one["y"], *ends, strict=True):
            yield one["label"], _text(x), *map(_text, numbers)
        for x, y in zip(*_trend(one), strict=True):
            yield f"{one['label']}, its law", _text(x), _text(y), NOTHING, NOTHING


def _trend(one: Json) -> tuple[tuple[float, ...], tuple[float, ...]]:
    trend = one.get("trend") or {"x": [], "y": []}
    return tuple(trend["x"]), tuple(trend["y"])


def _dot_rows(data: Json) -> Iterable[tuple[str, ...]]:
    for one in data["dots"]:
        columns = (one[key] for key in ("rows", "x", "low", "high"))
        for row, *numbers in zip(*columns, strict=True):
            yield one["label"], row, *map(_text, numbers)
    for level in data["levels"]:
        ends = (level[key] for key in ("x", "low", "high"))
        yield level["label"], NOTHING, *map(_text, ends)


def _text(number: float | None) -> str:
    # Enough digits to compute with, in the form that spreadsheets read.
    return NOTHING if number is None else f"{number:.6g}"


def _table(
    columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], data: Json
) -> Table:
    caption = f"{data['title']}: the numbers"
    return Table(caption=caption, columns=columns, rows=tuple(rows))

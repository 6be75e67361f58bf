"""Charts: several quantities along one axis, with their intervals, as inline SVG."""

import math
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from dmtheory.rendering.canvas import (
    Drawing,
    Key,
    LogAxes,
    Plate,
    artist_label,
    dash_style,
    format_axis,
    inline_figure,
    label_axes,
    line_swatch,
    span_text,
)
from dmtheory.rendering.marks import (
    LINE_DASHES,
    colour_of,
    line_colour,
    mark_style,
    mark_swatch,
)

# "both": marks joined by a line; "points": marks alone; "line": a dashed line alone.
Mark = Literal["both", "points", "line"]
MARKS: tuple[Mark, ...] = ("both", "points", "line")
_ROOM = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One quantity at several places.

    Attributes:
        label: What the legend calls it.
        x: Places, in the unit of the horizontal axis.
        y: Values, one a place.
        low: Lower ends of their intervals; None for a value without one.
        high: Upper ends.
        mark: Whether it is drawn by marks, a line or both. The interval of a mark is a
            whisker, that of a line a band.
        trend: Places and values of a law that extends the marks: a thin line in their
            colour.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    mark: Mark = "both"
    trend: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())

    def __post_init__(self) -> None:
        lengths = [len(v) for v in (self.y, self.low, self.high) if v]
        if not self.x or any(n != len(self.x) for n in [len(self.y), *lengths]):
            raise ValueError(
                f"x, y, low and high of {self.label!r} must be of one length, at least "
                f"1, got {len(self.x)}, {lengths}"
            )
        if len(self.trend[0]) != len(self.trend[1]):
            raise ValueError(f"trend of {self.label!r} must have as many x as y")
        everything = chain(self.x, self.y, *self.ends, *self.trend)
        numbers = [v for v in everything if v is not None]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"numbers of {self.label!r} must be finite")
        if self.mark not in MARKS:
            raise ValueError(f"mark must be one of {MARKS}, got {self.mark!r}")

    @property
    def ends(self) -> tuple[tuple[float | None, ...], tuple[float | None, ...]]:
        """Lower and upper ends, None where there is no interval."""
        none = (None,) * len(self.x)
        return self.low or none, self.high or none

    @property
    def whiskers(self) -> tuple[tuple[float, float, float], ...]:
        """Place, lower and upper end of every interval that is one."""
        return tuple(
            (x, low, high)
            for x, low, high in zip(self.x, *self.ends, strict=True)
            if low is not None and high is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Several series on common axes.

    Attributes:
        title: What the chart shows, read to those who cannot see it.
        x_label: Name and unit of the horizontal axis.
        y_label: Name and unit of the vertical axis.
        series: What is drawn, at least one.
        log: Axes that are logarithmic. A number <= 0 has no place on one and is not
            drawn; an axis without any other stays linear.
        x_ticks: Places of the horizontal ticks; chosen where none are given.
        view: What is in view: "all", or "marks" with their intervals, where lines alone
            may run out of the frame.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log: LogAxes = ""
    x_ticks: tuple[float, ...] = ()
    view: Literal["all", "marks"] = "all"

    def __post_init__(self) -> None:
        if not self.series:
            raise ValueError("a chart needs at least one series")


def draw_chart(chart: Chart, *, name: str) -> Drawing:
    """Draw a chart as inline SVG.

    Args:
        chart: What to draw.
        name: Prefix of every id in the drawing, unique in the page.

    Returns:
        The drawing and its legend.
    """
    log = _log_axes(chart)
    legend = tuple(
        Key(_swatch(place, series, chart), series.label)
        for place, series in enumerate(chart.series)
    )

    def plot(axes: Axes) -> None:
        _frame(axes, chart, log)
        for place, series in enumerate(chart.series):
            _plot(axes, place, series, chart)
        label_axes(axes, chart.x_label, chart.y_label)
        format_axis(axes, "x", log="x" in log)
        format_axis(axes, "y", log="y" in log)
        if chart.x_ticks:
            axes.xaxis.set_major_locator(FixedLocator(chart.x_ticks))
            axes.xaxis.set_minor_locator(NullLocator())

    plate = Plate(plot=plot, title=chart.title, description=_describe(chart))
    return Drawing(
        plate=plate,
        svg=inline_figure(plate, name=name),
        legend=legend,
        shown=_n_drawn(chart, log),
        total=sum(len(series.x) for series in chart.series),
    )


def _log_axes(chart: Chart) -> LogAxes:
    largest = {
        "x": max(max(*s.x, *s.trend[0], 0.0) for s in chart.series),
        "y": max(max(*s.y, *s.trend[1], 0.0) for s in chart.series),
    }
    kept = "".join(axis for axis in chart.log if largest[axis] > 0)
    return kept  # type: ignore[return-value]


def _n_drawn(chart: Chart, log: LogAxes) -> int:
    places = [place for s in chart.series for place in zip(s.x, s.y, strict=True)]
    return sum(
        ("x" not in log or x > 0) and ("y" not in log or y > 0) for x, y in places
    )


def _frame(axes: Axes, chart: Chart, log: LogAxes) -> None:
    """Set the limits: all places, all marks and their whiskers, some room around."""
    axes.set_xscale("log" if "x" in log else "linear")
    axes.set_yscale("log" if "y" in log else "linear")
    marked = [s for s in chart.series if s.mark != "line"]
    seen = marked if marked and chart.view == "marks" else list(chart.series)
    x = [v for s in seen for v in (*s.x, *s.trend[0])]
    y = [v for s in seen for v in (*s.y, *s.trend[1])]
    y += [v for s in seen for row in s.whiskers for v in row[1:]]
    axes.set_xlim(*_limits(x, log="x" in log))
    axes.set_ylim(*_limits(y, log="y" in log))


def _limits(values: list[float], *, log: bool) -> tuple[float, float]:
    if log:
        # What reaches to zero runs out of the frame.
        values = [v for v in values if v > 0]
    low, high = min(values), max(values)
    if log:
        room = (high / low) ** _ROOM if high > low else 2.0
        return low / room, high * room
    room = (high - low) * _ROOM or abs(high) * 0.5 or 1.0
    return low - room, high + room


def _plot(axes: Axes, place: int, series: Series, chart: Chart) -> None:
    colour = line_colour(place) if series.mark == "line" else colour_of(place)
    rows = series.whiskers
    if series.mark == "line":
        style = dash_style(_dash(series, chart))
        drawn = {"color": colour, "lw": 1.6, "ls": style, "zorder": 2}
        axes.plot(series.x, series.y, **drawn, label=artist_label(series.label))
        if rows:
            x, low, high = np.array(rows).T
            around = np.concatenate([x, x[::-1]]), np.concatenate([low, high[::-1]])
            axes.fill(*around, color=colour, alpha=0.16, lw=0, zorder=1)
        return
    y = np.array(series.y)
    if axes.get_yscale() == "log":
        # A gap where there is no place, instead of a line that falls out of the frame.
        y = np.where(y > 0, y, np.nan)
    if series.mark == "both":
        axes.plot(series.x, y, color=colour, lw=1.2, zorder=2)
    axes.plot(*series.trend, color=colour, lw=1.2, zorder=2)
    floor = axes.get_ylim()[0]
    for x, low, high in rows:
        if high > low:
            ends = [max(low, floor), high]
            axes.plot([x, x], ends, color=colour, lw=1.5, zorder=3)
    name = artist_label(series.label)
    axes.plot(series.x, y, **mark_style(place), zorder=4, label=name)


def _dash(series: Series, chart: Chart) -> str:
    """Return the dashes of a line: each line of a chart has its own."""
    lines = [other for other in chart.series if other.mark == "line"]
    return LINE_DASHES[lines.index(series) % len(LINE_DASHES)]


def _swatch(place: int, series: Series, chart: Chart) -> Markup:
    if series.mark == "line":
        return line_swatch(line_colour(place), _dash(series, chart))
    return mark_swatch(place, lined=series.mark == "both")


def _describe(chart: Chart) -> str:
    said = [f"{chart.y_label} against {chart.x_label}."]
    for series in chart.series:
        said.append(f"{series.label}: {span_text(series.y)}, at {span_text(series.x)}.")
    return " ".join(said)

"""Dot plots: one row a name, dots with intervals along one axis, as inline SVG."""

import math
from dataclasses import dataclass

from matplotlib.axes import Axes

from dmtheory.rendering.canvas import (
    INK,
    RULE,
    SIZE,
    Drawing,
    Key,
    Plate,
    artist_label,
    dash_style,
    format_axis,
    inline_figure,
    label_axes,
    line_swatch,
    span_text,
    wrapped,
)
from dmtheory.rendering.marks import LINE_DASHES, colour_of, mark_style, mark_swatch

# Inches a row, and for the axis below.
_ROW, _FOOT = 0.34, 0.95
_SPREAD = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Dots:
    """One kind of dot, in some of the rows.

    Attributes:
        label: What the legend calls it.
        rows: The names of its rows.
        x: One number a row.
        low: Lower ends of the intervals; None for a number without one.
        high: Upper ends.
    """

    label: str
    rows: tuple[str, ...]
    x: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]

    def __post_init__(self) -> None:
        lengths = len(self.rows), len(self.x), len(self.low), len(self.high)
        if len(set(lengths)) > 1 or not self.rows:
            raise ValueError(
                f"rows, x, low and high of {self.label!r} must be of one length, at "
                f"least 1, got {lengths}"
            )
        numbers = [v for v in (*self.x, *self.low, *self.high) if v is not None]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"numbers of {self.label!r} must be finite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A number that all rows are held against, such as a ceiling.

    Attributes:
        label: What the legend calls it.
        x: The number.
        low: Lower end of its interval; None where it has none.
        high: Upper end.
    """

    label: str
    x: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DotPlot:
    """Rows of dots on one axis.

    Attributes:
        title: What the plot shows, read to those who cannot see it.
        x_label: Name and unit of the axis.
        rows: Names from top to bottom, distinct.
        dots: What is drawn, at least one kind.
        levels: What the dots are held against.
        limits: Ends of the axis, so that several plots can share one; None fits it.
    """

    title: str
    x_label: str
    rows: tuple[str, ...]
    dots: tuple[Dots, ...]
    levels: tuple[Level, ...] = ()
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.dots:
            raise ValueError("a dot plot needs at least one kind of dots")
        if len(set(self.rows)) != len(self.rows):
            raise ValueError("rows must have distinct names")
        unknown = {row for kind in self.dots for row in kind.rows} - set(self.rows)
        if unknown:
            raise ValueError(f"rows must name every dot's row, lack {sorted(unknown)}")
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise ValueError(f"limits must rise, got {self.limits}")


def draw_dots(plot: DotPlot, *, name: str) -> Drawing:
    """Draw a dot plot as inline SVG, as high as its rows need.

    Args:
        plot: What to draw.
        name: Prefix of every id in the drawing, unique in the page.

    Returns:
        The drawing and its legend.
    """

    def draw(axes: Axes) -> None:
        if plot.limits is not None:
            axes.set_xlim(*plot.limits)
        for place, level in enumerate(plot.levels):
            _draw_level(axes, place, level)
        for place in range(len(plot.dots)):
            _draw_kind(axes, plot, place)
        _dress(axes, plot)

    plate = Plate(
        plot=draw,
        title=plot.title,
        description=_describe(plot),
        size=(SIZE[0], _ROW * len(plot.rows) + _FOOT),
    )
    keys = [Key(mark_swatch(i, lined=False), d.label) for i, d in enumerate(plot.dots)]
    keys += [
        Key(line_swatch(INK, LINE_DASHES[i % len(LINE_DASHES)]), level.label)
        for i, level in enumerate(plot.levels)
    ]
    n_dots = sum(len(kind.x) for kind in plot.dots)
    return Drawing(
        plate=plate,
        svg=inline_figure(plate, name=name),
        legend=tuple(keys),
        shown=n_dots,
        total=n_dots,
    )


def _draw_level(axes: Axes, place: int, level: Level) -> None:
    style = dash_style(LINE_DASHES[place % len(LINE_DASHES)])
    if level.low is not None and level.high is not None:
        axes.axvspan(level.low, level.high, color=INK, alpha=0.1, lw=0, zorder=0)
    name = artist_label(level.label)
    axes.axvline(level.x, color=INK, lw=1.4, ls=style, zorder=1, label=name)


def _draw_kind(axes: Axes, plot: DotPlot, place: int) -> None:
    kind, colour = plot.dots[place], colour_of(place)
    heights = [_height(plot, row, place) for row in kind.rows]
    for y, low, high in zip(heights, kind.low, kind.high, strict=True):
        if low is not None and high is not None and low < high:
            axes.plot([low, high], [y, y], color=colour, lw=1.5, zorder=3)
    name = artist_label(kind.label)
    axes.plot(kind.x, heights, **mark_style(place), zorder=4, label=name)


def _height(plot: DotPlot, row: str, place: int) -> float:
    """Return where a dot stands: dots that share a row stand above one another."""
    sharing = [i for i, kind in enumerate(plot.dots) if row in kind.rows]
    middle = (len(sharing) - 1) / 2
    step = _SPREAD / max(len(sharing) - 1, 1)
    return plot.rows.index(row) + (sharing.index(place) - middle) * step


def _dress(axes: Axes, plot: DotPlot) -> None:
    axes.set_ylim(len(plot.rows) - 0.5, -0.5)
    names = [wrapped(row, 22) for row in plot.rows]
    axes.set_yticks(range(len(plot.rows)), names, parse_math=False)
    axes.tick_params(axis="y", length=0)
    for y in range(1, len(plot.rows)):
        axes.axhline(y - 0.5, color=RULE, lw=0.5, zorder=0)
    axes.spines["left"].set_visible(False)
    label_axes(axes, plot.x_label, "")
    format_axis(axes, "x", log=False)


def _describe(plot: DotPlot) -> str:
    said = [f"{plot.x_label}, {len(plot.rows)} rows."]
    said += [f"{kind.label}: {span_text(kind.x)}." for kind in plot.dots]
    said += [f"{level.label}: {span_text((level.x,))}." for level in plot.levels]
    return " ".join(said)

"""Scatters as inline SVG: text stays text, colours follow the page, ids are unique."""

import math
from dataclasses import dataclass

import matplotlib.colors
import numpy as np
from matplotlib.axes import Axes

from dmtheory.rendering.canvas import (
    CURVES,
    DASHES,
    FITTED,
    INK,
    POINTS,
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

__all__ = ["Curve", "Drawing", "Key", "LogAxes", "Scatter", "Slope", "draw_scatter"]

_PREDICTED_DASH = "6 4"
_MOST_POINTS = 400


@dataclass(frozen=True, slots=True)
class Slope:
    """A line of known slope: through the origin, or on logarithmic axes an exponent.

    Attributes:
        value: The slope.
        label: What the legend calls it.
    """

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through given points.

    Attributes:
        x: Where, in the unit of the horizontal axis.
        y: How high, one value a position.
        label: What the legend calls it.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """One quantity against another.

    Attributes:
        x: Horizontal positions.
        y: Vertical positions, one a point.
        title: What the figure shows, read to those who cannot see it.
        x_label: Name and unit of the horizontal axis.
        y_label: Name and unit of the vertical axis.
        fitted: Slope that was measured.
        predicted: Slope that theory predicts.
        curves: Further lines.
        log: Axes that are logarithmic; one that holds a value <= 0 stays linear.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    title: str
    x_label: str
    y_label: str
    fitted: Slope | None = None
    predicted: Slope | None = None
    curves: tuple[Curve, ...] = ()
    log: LogAxes = ""

    def __post_init__(self) -> None:
        lines: tuple[Scatter | Curve, ...] = (self, *self.curves)
        for what in lines:
            if len(what.x) != len(what.y):
                raise ValueError(
                    f"x and y must be of one length, got {len(what.x)} and "
                    f"{len(what.y)}"
                )
            if not all(map(math.isfinite, (*what.x, *what.y))):
                raise ValueError("x and y must be finite")
        if not self.x and not any(curve.x for curve in self.curves):
            raise ValueError("a figure needs at least one point")


def draw_scatter(scatter: Scatter, *, name: str) -> Drawing:
    """Draw a scatter with its lines as inline SVG.

    Args:
        scatter: What to draw; beyond 400 points an even selection along x is drawn.
        name: Prefix of every id in the drawing, unique in the page.

    Returns:
        The drawing and its legend.
    """
    scaled = _log_axes(scatter)
    chosen = _selection(scatter.x)
    legend: list[Key] = []

    def plot(axes: Axes) -> None:
        legend[:] = _plot(axes, scatter, chosen=chosen, log=scaled)
        label_axes(axes, scatter.x_label, scatter.y_label)
        format_axis(axes, "x", log="x" in scaled)
        format_axis(axes, "y", log="y" in scaled)

    plate = Plate(
        plot=plot, title=scatter.title, description=_describe(scatter, chosen)
    )
    return Drawing(
        plate=plate,
        svg=inline_figure(plate, name=name),
        legend=tuple(legend),
        shown=len(chosen),
        total=len(scatter.x),
    )


def _log_axes(scatter: Scatter) -> LogAxes:
    def positive(axis: str) -> bool:
        values = [*getattr(scatter, axis)]
        for curve in scatter.curves:
            values += getattr(curve, axis)
        return min(values) > 0

    kept = "".join(axis for axis in scatter.log if positive(axis))
    return kept  # type: ignore[return-value]


def _selection(x: tuple[float, ...]) -> np.ndarray:
    order = np.argsort(x, kind="stable")
    if len(order) <= _MOST_POINTS:
        return order
    # Even along x, so that both ends of the range are among the points drawn.
    return order[np.linspace(0, len(order) - 1, _MOST_POINTS).round().astype(int)]


def _plot(
    axes: Axes, scatter: Scatter, *, chosen: np.ndarray, log: LogAxes
) -> tuple[Key, ...]:
    axes.set_xscale("log" if "x" in log else "linear")
    axes.set_yscale("log" if "y" in log else "linear")
    x, y = np.asarray(scatter.x), np.asarray(scatter.y)
    keys = []
    if len(chosen):
        few = len(chosen) <= 40
        face = matplotlib.colors.to_rgba(POINTS, 0.9 if few else 0.5)
        size = 6 if few else 4.6
        axes.plot(x[chosen], y[chosen], "o", ms=size, mec="none", mfc=face)
    for index, curve in enumerate(scatter.curves):
        colour = CURVES[index % len(CURVES)]
        dash = DASHES[index % len(DASHES)]
        style = {"color": colour, "lw": 1.6, "ls": dash_style(dash)}
        axes.plot(curve.x, curve.y, **style, label=artist_label(curve.label))
        keys.append(Key(line_swatch(colour, dash), curve.label))
    # The points decide what is in view; a line far off them runs out of the frame.
    limits = axes.get_xlim(), axes.get_ylim()
    for slope, colour, dash in (
        (scatter.predicted, INK, _PREDICTED_DASH),
        (scatter.fitted, FITTED, ""),
    ):
        if slope is None or not len(x):
            continue
        along = _along(limits[0], log=log)
        line = _line(slope.value, along, x, y, log=log)
        style = {"color": colour, "lw": 1.6, "ls": dash_style(dash)}
        axes.plot(along, line, **style, label=artist_label(slope.label))
        keys.append(Key(line_swatch(colour, dash), slope.label))
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    return tuple(reversed(keys))


def _along(limits: tuple[float, float], *, log: LogAxes) -> np.ndarray:
    # Straight on these axes, so that two points are enough; curved on the others.
    n_points = 2 if log in ("", "xy") else 60
    return (np.geomspace if "x" in log else np.linspace)(*limits, n_points)


def _line(
    slope: float, along: np.ndarray, x: np.ndarray, y: np.ndarray, *, log: LogAxes
) -> np.ndarray:
    if log != "xy":
        return slope * along
    # On logarithmic axes a slope is an exponent, and the line meets the centroid.
    height = np.log(y).mean() + slope * (np.log(along) - np.log(x).mean())
    return np.exp(height)


def _describe(scatter: Scatter, chosen: np.ndarray) -> str:
    parts = []
    if len(chosen):
        few = len(chosen) < len(scatter.x)
        of = f" of {len(scatter.x):,}" if few else ""
        parts.append(
            f"{len(chosen):,}{of} points. {scatter.x_label} from "
            f"{span_text(scatter.x)}; {scatter.y_label} from {span_text(scatter.y)}."
        )
    lines = [curve.label for curve in scatter.curves]
    lines += [s.label for s in (scatter.fitted, scatter.predicted) if s is not None]
    if lines:
        parts.append(f"Lines: {'; '.join(lines)}.")
    return " ".join(parts)

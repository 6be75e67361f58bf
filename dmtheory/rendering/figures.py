"""Figures as inline SVG: text stays text, colours follow the page, ids are unique."""

import io
import math
import textwrap
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.colors
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from dmtheory.rendering.svg import inline_svg
from dmtheory.rendering.text import format_number

# Okabe and Ito's palette. A page may set the variables, for a dark scheme say.
_COLOURS = {
    "#0072b2": "--figure-points",
    "#d55e00": "--figure-fitted",
    "#1b1b1b": "--figure-ink",
    "#c9c5bc": "--figure-rule",
    "#009e73": "--figure-curve-1",
    "#cc79a7": "--figure-curve-2",
    "#e69f00": "--figure-curve-3",
}
_POINTS, _FITTED, _INK, _RULE, *_CURVES = _COLOURS
# Told apart by dashes too, never by colour alone.
_DASHES = ("5 2 1.5 2", "1.5 2", "8 3")
_PREDICTED_DASH = "6 4"
_MOST_POINTS = 400
_SIZE = (5.2, 3.9)
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dmtheory",
    "font.size": 12.5,
    "axes.linewidth": 0.8,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}

_METADATA = ("Date", "Creator", "Format", "Type")

LogAxes = Literal["", "x", "y", "xy"]


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


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend.

    Attributes:
        swatch: The mark as a small inline SVG.
        label: What it stands for.
    """

    swatch: Markup
    label: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure ready for a page.

    Attributes:
        svg: The inline SVG, with title and description.
        legend: Its keys, to set beside it as text that wraps.
        shown: Points drawn.
        total: Points given.
    """

    svg: Markup
    legend: tuple[Key, ...]
    shown: int
    total: int


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
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The reader's browser picks the font, so a glyph that ours lacks is no loss.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=_SIZE, layout="constrained")
        canvas = FigureCanvasSVG(figure)
        axes = figure.subplots()
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        legend = _plot(axes, scatter, chosen=chosen, log=scaled)
        _dress(axes, scatter, log=scaled)
        buffer = io.StringIO()
        canvas.print_svg(buffer, metadata=dict.fromkeys(_METADATA))
    svg = inline_svg(
        buffer.getvalue(),
        name=name,
        title=scatter.title,
        description=_describe(scatter, chosen),
        colours={colour: _variable(colour) for colour in _COLOURS},
    )
    return Drawing(svg, legend, len(chosen), len(scatter.x))


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
        face = matplotlib.colors.to_rgba(_POINTS, 0.9 if few else 0.5)
        size = 6 if few else 4.6
        axes.plot(x[chosen], y[chosen], "o", ms=size, mec="none", mfc=face)
    for index, curve in enumerate(scatter.curves):
        colour = _CURVES[index % len(_CURVES)]
        dash = _DASHES[index % len(_DASHES)]
        axes.plot(curve.x, curve.y, color=colour, lw=1.6, ls=_dash(dash))
        keys.append(Key(_swatch(colour, dash), curve.label))
    # The points decide what is in view; a line far off them runs out of the frame.
    limits = axes.get_xlim(), axes.get_ylim()
    for slope, colour, dash in (
        (scatter.predicted, _INK, _PREDICTED_DASH),
        (scatter.fitted, _FITTED, ""),
    ):
        if slope is None or not len(x):
            continue
        along = _along(limits[0], log=log)
        line = _line(slope.value, along, x, y, log=log)
        axes.plot(along, line, color=colour, lw=1.6, ls=_dash(dash) if dash else "-")
        keys.append(Key(_swatch(colour, dash), slope.label))
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


def _dress(axes: Axes, scatter: Scatter, *, log: LogAxes) -> None:
    # A dollar sign in somebody's label is money, not mathematics.
    for label, width, write in (
        (scatter.x_label, 42, axes.set_xlabel),
        (scatter.y_label, 31, axes.set_ylabel),
    ):
        write(_wrapped(label, width), parse_math=False)
    for axis, line in (("x", axes.axvline), ("y", axes.axhline)):
        along = axes.xaxis if axis == "x" else axes.yaxis
        if axis in log:
            _format_log(along, getattr(axes, f"get_{axis}lim")())
        else:
            low, high = getattr(axes, f"get_{axis}lim")()
            if low < 0 < high:
                line(0, color=_RULE, lw=0.8, zorder=0)
            along.set_major_formatter(FuncFormatter(_tick(high - low)))
            along.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))


def _wrapped(label: str, width: int) -> str:
    # An equation stays in one line, and the lines are about equally long.
    text = label
    for sign in "=~":
        text = text.replace(f" {sign} ", f"\N{NO-BREAK SPACE}{sign}\N{NO-BREAK SPACE}")
    n_lines = len(textwrap.wrap(text, width))
    for narrower in range(len(text) // max(n_lines, 1), width):
        lines = textwrap.wrap(text, max(narrower, 1))
        if len(lines) <= n_lines:
            return "\n".join(lines)
    return "\n".join(textwrap.wrap(text, width))


def _format_log(axis: Any, limits: tuple[float, float]) -> None:
    decades = math.log10(limits[1] / limits[0])
    subs = (1.0,) if decades > 3 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: format_number(float(value), trim=True))
    )


def _tick(span: float) -> Any:
    # Rounding far below the span hides 0.30000000000000004 and keeps zero zero.
    places = 3 - math.floor(math.log10(span))
    return lambda value, _: format_number(
        float(round(value, places)) + 0.0, digits=4, trim=True
    )


def _dash(pattern: str) -> tuple[float, tuple[float, ...]]:
    return (0, tuple(float(length) / 1.6 for length in pattern.split()))


def _swatch(colour: str, dash: str) -> Markup:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return Markup(
        '<svg class="swatch" width="28" height="10" aria-hidden="true" '
        'focusable="false"><line x1="1" x2="27" y1="5" y2="5" stroke-width="2.2" '
        f'style="stroke: {_variable(colour)}"{dashes}/></svg>'
    )


def _describe(scatter: Scatter, chosen: np.ndarray) -> str:
    parts = []
    if len(chosen):
        few = len(chosen) < len(scatter.x)
        of = f" of {len(scatter.x):,}" if few else ""
        parts.append(
            f"{len(chosen):,}{of} points. {scatter.x_label} from "
            f"{_span(scatter.x)}; {scatter.y_label} from {_span(scatter.y)}."
        )
    lines = [curve.label for curve in scatter.curves]
    lines += [s.label for s in (scatter.fitted, scatter.predicted) if s is not None]
    if lines:
        parts.append(f"Lines: {'; '.join(lines)}.")
    return " ".join(parts)


def _span(values: tuple[float, ...]) -> str:
    return f"{format_number(min(values))} to {format_number(max(values))}"


def _variable(colour: str) -> str:
    return f"var({_COLOURS[colour]}, {colour})"

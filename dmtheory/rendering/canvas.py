"""What all figures share: the palette, the style, the axes, the way into a page."""

import contextlib
import io
import math
import textwrap
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from dmtheory.rendering.svg import inline_svg
from dmtheory.rendering.text import format_number

# Okabe and Ito's palette. A page may set the variables, for a dark scheme say.
COLOURS = {
    "#0072b2": "--figure-points",
    "#d55e00": "--figure-fitted",
    "#1b1b1b": "--figure-ink",
    "#c9c5bc": "--figure-rule",
    "#009e73": "--figure-curve-1",
    "#cc79a7": "--figure-curve-2",
    "#e69f00": "--figure-curve-3",
    "#56b4e9": "--figure-curve-4",
}
POINTS, FITTED, INK, RULE, *CURVES = COLOURS
# Told apart by dashes too, never by colour alone.
DASHES = ("5 2 1.5 2", "1.5 2", "8 3")
SIZE = (5.2, 3.9)
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "dmtheory",
    "font.size": 12.5,
    "axes.linewidth": 0.8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}

_METADATA = ("Date", "Creator", "Format", "Type")

LogAxes = Literal["", "x", "y", "xy"]


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend.

    Attributes:
        swatch: The mark as a small inline SVG.
        label: What it stands for.
    """

    swatch: Markup
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """One pair of axes, before it is part of a page or a file.

    Attributes:
        plot: Draws on the axes, with a label on every artist that a legend names.
        title: What the figure is, for those who cannot see it.
        description: What it shows, for the same readers.
        size: Width and height in inches.
    """

    plot: Callable[[Axes], None]
    title: str
    description: str
    size: tuple[float, float] = SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure ready for a page.

    Attributes:
        plate: What is drawn, to draw it again for a file.
        svg: The inline SVG, with title and description.
        legend: Its keys, to set beside it as text that wraps.
        shown: Points drawn.
        total: Points given.
    """

    plate: Plate = field(compare=False, repr=False)
    svg: Markup
    legend: tuple[Key, ...]
    shown: int
    total: int


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """Draw in the style of all figures."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The reader's browser picks the font, so a glyph that ours lacks is no loss.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def inline_figure(plate: Plate, *, name: str) -> Markup:
    """Draw one pair of axes as inline SVG.

    Args:
        plate: What to draw.
        name: Prefix of every id in the drawing, unique in the page.

    Returns:
        The drawing; its text is text, its colours follow the page.
    """
    with figure_style():
        figure = Figure(figsize=plate.size, layout="constrained")
        canvas = FigureCanvasSVG(figure)
        axes = figure.subplots()
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        plate.plot(axes)
        buffer = io.StringIO()
        canvas.print_svg(buffer, metadata=dict.fromkeys(_METADATA))
    return inline_svg(
        buffer.getvalue(),
        name=name,
        title=plate.title,
        description=plate.description,
        colours={colour: variable(colour) for colour in COLOURS},
    )


def artist_label(label: str) -> str:
    """Return a label that matplotlib shows in a legend, whatever it starts with."""
    hidden = label.startswith("_") or not label.strip()
    return f"\N{ZERO WIDTH SPACE}{label}" if hidden else label


def label_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Write both labels, wrapped to the lengths of their axes."""
    # A dollar sign in somebody's label is money, not mathematics.
    for label, width, write in (
        (x_label, 42, axes.set_xlabel),
        (y_label, 31, axes.set_ylabel),
    ):
        write(wrapped(label, width), parse_math=False)


def format_axis(axes: Axes, which: Literal["x", "y"], *, log: bool) -> None:
    """Set ticks that are round numbers in our format, and a rule at zero."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    if log:
        _format_log(axis, (low, high))
        return
    if low < 0 < high:
        (axes.axvline if which == "x" else axes.axhline)(
            0, color=RULE, lw=0.8, zorder=0
        )
    axis.set_major_formatter(FuncFormatter(_tick(high - low)))
    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))


def wrapped(label: str, width: int) -> str:
    """Break a label into lines about equally long, an equation in one of them."""
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


def dash_style(pattern: str, width: float = 1.6) -> Any:
    """Return matplotlib's form of a dash pattern in points; "" is solid."""
    if not pattern:
        return "-"
    return (0, tuple(float(length) / width for length in pattern.split()))


def line_swatch(colour: str, dash: str = "", mark: str = "") -> Markup:
    """Return a short piece of a line, with a mark on it if one is given as SVG."""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return Markup(
        '<svg class="swatch" width="28" height="10" aria-hidden="true" '
        'focusable="false"><line x1="1" x2="27" y1="5" y2="5" stroke-width="2.2" '
        f'style="stroke: {variable(colour)}"{dashes}/>{mark}</svg>'
    )


def variable(colour: str) -> str:
    """Return a colour of the palette as a CSS variable with itself as fallback."""
    return f"var({COLOURS[colour]}, {colour})"


def span_text(values: tuple[float, ...]) -> str:
    """Return the range of some values in words."""
    if min(values) == max(values):
        return format_number(values[0])
    return f"{format_number(min(values))} to {format_number(max(values))}"

"""Figures as files for papers and slides: the same axes, with their legend inside."""

from pathlib import Path

from matplotlib.figure import Figure

from dmtheory.checks import check_choice
from dmtheory.rendering.canvas import Drawing, figure_style

FORMATS = ("png", "pdf")
_DOTS_PER_INCH = 220
_LINE = 0.26
# No dates, so that the same figure gives the same file.
_METADATA = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def save_figure(drawing: Drawing, path: Path) -> None:
    """Draw a figure into a file, on white ground.

    Args:
        drawing: The figure.
        path: Where to; its suffix is `.png` or `.pdf`.

    Raises:
        ValueError: If the suffix is another.
    """
    kind = path.suffix.removeprefix(".")
    check_choice(kind, FORMATS, "the suffix of path")
    width, height = drawing.plate.size
    with figure_style():
        foot = _LINE * len(drawing.legend)
        figure = Figure(figsize=(width, height + foot), layout="constrained")
        axes = figure.subplots()
        drawing.plate.plot(axes)
        _add_legend(figure)
        figure.savefig(path, format=kind, dpi=_DOTS_PER_INCH, metadata=_METADATA[kind])


def _add_legend(figure: Figure) -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if not handles:
        return
    legend = figure.legend(
        handles, labels, loc="outside lower left", frameon=False, fontsize=11
    )
    for text in legend.get_texts():
        # A dollar sign in somebody's label is money, not mathematics.
        text.set_parse_math(False)

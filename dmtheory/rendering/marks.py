"""Marks that tell series apart by their shape, in drawings and in legends alike."""

from typing import Any

from markupsafe import Markup

from dmtheory.rendering.canvas import CURVES, DASHES, FITTED, INK, POINTS, variable

# Matplotlib's name of each shape, and the same shape in a legend's swatch.
_SHAPES = {
    "o": '<circle cx="14" cy="5" r="3.6"',
    "s": '<rect x="10.8" y="1.8" width="6.4" height="6.4"',
    "^": '<polygon points="14,0.8 18.2,8.6 9.8,8.6"',
    "D": '<polygon points="14,0.4 18.6,5 14,9.6 9.4,5"',
    "v": '<polygon points="14,9.2 18.2,1.4 9.8,1.4"',
    "P": '<polygon points="12.6,1 15.4,1 15.4,3.6 18,3.6 18,6.4 15.4,6.4 15.4,9 '
    '12.6,9 12.6,6.4 10,6.4 10,3.6 12.6,3.6"',
    "X": '<polygon points="12.3,1 14,2.7 15.7,1 18,3.3 16.3,5 18,6.7 15.7,9 14,7.3 '
    '12.3,9 10,6.7 11.7,5 10,3.3"',
}
_COLOURS = (POINTS, FITTED, CURVES[0], CURVES[1], CURVES[2], INK, CURVES[3])
LINE_DASHES = ("6 4", *DASHES)


def colour_of(place: int) -> str:
    """Return the colour of the series at a place."""
    return _COLOURS[place % len(_COLOURS)]


def line_colour(place: int) -> str:
    """Return the colour of a line at a place: ink where the others are spent."""
    return _COLOURS[place] if place < len(_COLOURS) else INK


def mark_style(place: int) -> dict[str, Any]:
    """Return how matplotlib draws the marks of a series: the second round is hollow."""
    hollow, colour = _hollow(place), colour_of(place)
    return {
        "marker": _shape(place),
        "ls": "none",
        "ms": 6,
        "mfc": "none" if hollow else colour,
        "mec": colour if hollow else "none",
        "mew": 1.4 if hollow else 0,
    }


def mark_swatch(place: int, *, lined: bool) -> Markup:
    """Return a legend's swatch for a series of marks, joined by a line or not."""
    colour = variable(colour_of(place))
    line = f'<line x1="1" x2="27" y1="5" y2="5" stroke-width="1.8" stroke="{colour}"/>'
    paint = f"fill: none; stroke: {colour}" if _hollow(place) else f"fill: {colour}"
    return Markup(
        '<svg class="swatch" width="28" height="10" aria-hidden="true" '
        f'focusable="false">{line if lined else ""}'
        f'{_SHAPES[_shape(place)]} style="{paint}"/></svg>'
    )


def _shape(place: int) -> str:
    return tuple(_SHAPES)[place % len(_SHAPES)]


def _hollow(place: int) -> bool:
    return place // len(_SHAPES) % 2 == 1

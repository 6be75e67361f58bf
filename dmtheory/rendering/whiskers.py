"""A number with its interval as a dot with whiskers, as wide as its container."""

from collections.abc import Iterable

from markupsafe import Markup

Domain = tuple[float, float]
_HEIGHT = 14


def common_domain(values: Iterable[float | None], *, padding: float = 0.06) -> Domain:
    """Return an axis that holds all values, with some room on both sides.

    Args:
        values: What must fit; None is skipped.
        padding: Room on each side as a share of the span, at least 0.

    Returns:
        Lower and upper end, the first below the second.
    """
    known = [value for value in values if value is not None]
    if not known:
        return (0.0, 1.0)
    low, high = min(known), max(known)
    # A single value still needs an axis: as wide as the value is large.
    room = (high - low) * padding or abs(high) * 0.5 or 1.0
    return (low - room, high + room)


def whisker(
    value: float,
    low: float | None,
    high: float | None,
    *,
    domain: Domain,
    band: tuple[float | None, float | None] | None = None,
    bar: bool = False,
) -> Markup:
    """Draw a number with its interval on one horizontal axis.

    The drawing is hidden from screen readers: the numbers stand beside it as text.

    Args:
        value: Where the dot is.
        low: The interval's lower end; None for no whisker.
        high: The interval's upper end; None for no whisker.
        domain: The axis, in the unit of the value.
        band: Allowed range to shade, open where an end is None.
        bar: Whether to join the dot to zero by a bar.

    Returns:
        An inline SVG without fixed width; CSS classes name its pieces.

    Raises:
        ValueError: If the axis has no length.
    """
    start, stop = domain
    if not start < stop:
        raise ValueError(f"domain must rise, got {domain}")

    def place(x: float) -> float:
        return min(max((x - start) / (stop - start), 0.0), 1.0) * 100

    middle = _HEIGHT / 2
    pieces = []
    if band is not None and band != (None, None):
        left = place(start if band[0] is None else band[0])
        right = place(stop if band[1] is None else band[1])
        pieces.append(_box("band", left, right, 0, _HEIGHT))
    if start <= 0 <= stop:
        pieces.append(_line("zero", (place(0), place(0)), (0, _HEIGHT)))
    if bar:
        ends = sorted((place(0), place(value)))
        pieces.append(_box("bar", ends[0], ends[1], middle - 3, 6))
    if low is not None and high is not None and low < high:
        pieces.append(_line("range", (place(low), place(high)), (middle, middle)))
    pieces.append(
        f'<circle class="dot" cx="{place(value):.1f}%" cy="{middle:g}" r="3.2"/>'
    )
    return Markup(
        f'<svg class="whisker" width="100%" height="{_HEIGHT}" aria-hidden="true" '
        f'focusable="false">{"".join(pieces)}</svg>'
    )


def _box(name: str, left: float, right: float, top: float, height: float) -> str:
    return (
        f'<rect class="{name}" x="{left:.1f}%" y="{top:g}" '
        f'width="{right - left:.1f}%" height="{height:g}"/>'
    )


def _line(name: str, x: tuple[float, float], y: tuple[float, float]) -> str:
    return (
        f'<line class="{name}" x1="{x[0]:.1f}%" x2="{x[1]:.1f}%" '
        f'y1="{y[0]:g}" y2="{y[1]:g}"/>'
    )

"""Numbers as text: as many digits as the number deserves, and no more."""

import math
from dataclasses import dataclass

# What an empty cell shows.
NOTHING = "\N{EN DASH}"
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
# Outside these a plain decimal is mostly zeros and a power of ten reads better.
_SMALL, _LARGE = 1e-4, 1e6
_MOST_DECIMALS = 9


@dataclass(frozen=True, slots=True)
class IntervalText:
    """A number and its interval, rounded alike.

    Attributes:
        value: The number.
        interval: The interval in brackets, "exact", or empty where there is none.
    """

    value: str
    interval: str


def format_number(value: float | None, *, digits: int = 3, trim: bool = False) -> str:
    """Format one number for reading.

    Args:
        value: The number; an int is a count and keeps all its digits.
        digits: Significant digits of a float, at least 1.
        trim: Whether to drop trailing zeros after the decimal point.

    Returns:
        Text such as "2.04", "3,000" or "3.1" times "10⁻¹⁴"; a dash for None.
    """
    if value is None:
        return NOTHING
    if isinstance(value, int):
        return _signed(f"{value:,}")
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return _signed(str(value).replace("inf", "∞"))
    if not _is_plain(abs(value)):
        return _scientific(value, digits=min(digits, 2) if not trim else digits)
    exponent = int(f"{abs(value):.{digits - 1}e}".partition("e")[2])
    text = f"{value:,.{max(0, digits - 1 - exponent)}f}"
    return _signed(_trimmed(text) if trim else text)


def interval_text(
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    exact_digits: int = 6,
) -> IntervalText:
    """Format a number and its interval to the digits that the interval supports.

    Args:
        value: The number.
        low: The interval's lower end; None where unknown.
        high: The interval's upper end; None where unknown.
        exact_digits: Most significant digits of an exact number, at least 1.

    Returns:
        Both texts. A number equal to both its ends is exact and is said to be.
    """
    if value is None or low is None or high is None:
        return IntervalText(format_number(value), "")
    if low == high:
        # An exact number far from 1 is an error of rounding: its size is enough.
        digits = exact_digits if _is_plain(abs(value)) else 2
        exact = format_number(value, digits=digits, trim=True)
        return IntervalText(exact, "exact" if value == low else "")
    size = max(abs(value), abs(low), abs(high))
    exponent = 0 if _is_plain(size) else math.floor(math.log10(size))
    unit = 10.0**exponent
    power = f"{TIMES}10{_superscript(exponent)}" if exponent else ""
    decimals = _decimals((high - low) / 2 / unit)
    shown = [_fixed(number / unit, decimals) for number in (value, low, high)]
    return IntervalText(f"{shown[0]}{power}", f"[{shown[1]}, {shown[2]}]{power}")


def format_interval(
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    exact_digits: int = 6,
) -> str:
    """Format a number with its interval in one piece.

    Args:
        value: The number.
        low: The interval's lower end; None where unknown.
        high: The interval's upper end; None where unknown.
        exact_digits: Most significant digits of an exact number, at least 1.

    Returns:
        Text such as "2.04 [2.01, 2.07]" or "0.5 exact".
    """
    text = interval_text(value, low, high, exact_digits=exact_digits)
    return f"{text.value} {text.interval}".strip()


def format_range(low: float | None, high: float | None) -> str:
    """Format a range of allowed values, either end of which may be open.

    Args:
        low: Smallest allowed value; None for no lower end.
        high: Largest allowed value; None for no upper end.

    Returns:
        Text such as "0.9 to 1.1", "at least 0.8", "at most 10⁻¹⁰", or a dash.
    """
    ends = [format_number(end, digits=4, trim=True) for end in (low, high)]
    if low is None and high is None:
        return NOTHING
    if low is None:
        return f"at most {ends[1]}"
    if high is None:
        return f"at least {ends[0]}"
    places = [len(end.partition(".")[2]) for end in ends]
    if min(places) >= 3 and all(_is_plain(abs(end)) for end in (low, high)):
        # Ends that were rounded are rounded alike.
        ends = [_fixed(end, min(places)) for end in (low, high)]
    return f"{ends[0]} to {ends[1]}"


def format_duration(seconds: float) -> str:
    """Format a length of time.

    Args:
        seconds: The time, at least 0.

    Returns:
        Text such as "0.4 s", "2 min 14 s" or "3 h 05 min".
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _is_plain(size: float) -> bool:
    return size == 0 or _SMALL <= size < _LARGE


def _decimals(half_width: float) -> int:
    # The half width keeps one or two digits: between 3 and 30 units of the last place.
    return min(max(math.ceil(math.log10(3 / half_width)), 0), _MOST_DECIMALS)


def _fixed(value: float, decimals: int) -> str:
    # Adding zero turns a rounded -0.0 into 0.0.
    return _signed(f"{round(value, decimals) + 0.0:,.{decimals}f}")


def _scientific(value: float, *, digits: int) -> str:
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    power = f"10{_superscript(int(exponent))}"
    mantissa = _signed(_trimmed(mantissa))
    if mantissa in ("1", f"{MINUS}1"):
        return mantissa[:-1] + power
    return f"{mantissa}{TIMES}{power}"


def _superscript(exponent: int) -> str:
    return str(exponent).translate(_SUPERSCRIPTS)


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _signed(text: str) -> str:
    return text.replace("-", MINUS)

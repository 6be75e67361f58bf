"""Comparisons that say where two arrays differ and by how much."""

import torch
from torch import Tensor

from dmtheory.testing.properties import Violation

# Where arrays lie in memory may change the last digits of a library's sums.
_ROUNDING = 1e-12


def check_again(found: Tensor, first: Tensor, what: str) -> None:
    """Raise unless a second call gave what the first did, to 12 digits."""
    check_same(found, first, what, tolerance=_ROUNDING, size=1.0)


def check_same(
    found: Tensor,
    expected: Tensor,
    what: str,
    *,
    tolerance: float,
    size: float = 0.0,
    spread: Tensor | None = None,
) -> None:
    """Raise unless two arrays agree.

    Args:
        found: What came.
        expected: What should have come.
        what: Its name in the message.
        tolerance: Share of the largest entry by which an entry may be off.
        size: What counts as the largest entry where all are smaller, such as the size
            of the data: numbers that cancel to 0 have its rounding.
        spread: Statistical error of each entry that may come on top.

    Raises:
        Violation: With the entry that is furthest off.
    """
    if found.shape != expected.shape:
        raise Violation(
            f"{what} must have shape {tuple(expected.shape)}, got {tuple(found.shape)}"
        )
    largest = max(size, _largest(expected), _largest(found))
    allowed = torch.full_like(expected, tolerance * largest)
    if spread is not None:
        allowed = allowed + spread
    off = (found - expected).abs()
    # An entry that is not a number is off, however large the rest is.
    excess = torch.where(torch.isfinite(off), off - allowed, torch.inf)
    if bool((excess > 0).any()):
        place = torch.unravel_index(excess.argmax(), excess.shape)
        number = tuple(int(i) for i in place)
        raise Violation(
            f"{what}{list(number)} = {found[place].item():.6g}, expected "
            f"{expected[place].item():.6g} (allowed error {allowed[place].item():.2g})"
        )


def _largest(values: Tensor) -> float:
    finite = values[torch.isfinite(values)]
    return finite.abs().max().item() if len(finite) else 0.0


def text_of(values: Tensor) -> str:
    """Return a small array as text, to four digits."""
    rows = values.tolist()

    def number(value: float) -> str:
        return f"{value:.4g}"

    if values.ndim == 1:
        return "[" + ", ".join(number(value) for value in rows) + "]"
    inner = ["[" + ", ".join(number(value) for value in row) + "]" for row in rows]
    return "[" + ", ".join(inner) + "]"

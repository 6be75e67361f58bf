"""Products of small integers without rounding, and of reals split into such.

Integers of 8 bits are multiplied and summed in 32 bits where the device does so
correctly, which is tried first: some libraries returned wrong sums for some layouts
without a word. Elsewhere float32 sums runs of rows that stay below 2^24, where it is
exact as well. Sums in 16 bits would round counts above 256 and are never made.

References:
    PyTorch issue 107671, for the wrong sums; Ootomo, Ozaki and Yokota 2024, DGEMM on
    integer matrix multiplication unit, for splitting reals into digits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int8
from torch import Tensor

# Matrix units want sides that are multiples of 8 and not too short.
_MULTIPLE = 8
_LEAST_SIDE = 32
# Sums below these are exact.
_EXACT = {torch.int32: 2**31 - 1, torch.float32: 2**24}
# A real is 64ths of its column's largest, and 7 more bits a digit: 2^-56 are left.
_DIGITS = 8
_FIRST, _BASE = 64.0, 128.0
# Columns of digits multiplied at a time.
_STRIP = 512


@dataclass(frozen=True, slots=True, eq=False)
class Integers:
    """A matrix of 8-bit integers, zeros added so that its sides suit matrix units.

    Attributes:
        values: The integers.
        largest: The largest in absolute value.
    """

    values: Int8[Tensor, "rows columns"]
    largest: int

    def columns(self, start: int, stop: int | None = None) -> "Integers":
        """Return some of the columns; multiples of 8 keep sides that suit."""
        return Integers(self.values[:, start:stop], self.largest)


def doubled_integers(x: Float[Tensor, "rows columns"]) -> Integers | None:
    """Return 2x in 8 bits, with zeros added; None where that is not exact."""
    padded = _padded(x)
    inner = padded[: x.shape[0], : x.shape[1]]
    doubled = 2 * x
    inner.copy_(doubled)
    if not bool((inner == doubled).all()):
        return None
    return Integers(padded, int(doubled.abs().max()) if doubled.numel() else 0)


def product(left: Integers, right: Integers) -> Float[Tensor, "some others"]:
    """Return left' right, exact."""
    integer = sums_integers(left.values.device)
    limit = _EXACT[torch.int32 if integer else torch.float32]
    size = limit // max(left.largest * right.largest, 1)
    total = None
    for a, b in _runs(left.values, right.values, max(size, 1)):
        if integer:
            part = torch._int_mm(a.T.contiguous(), b.contiguous()).double()
        else:
            part = (a.T.float() @ b.float()).double()
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def add_split_product(
    total: Float[Tensor, "columns targets"],
    x: Integers,
    y: Float[Tensor, "rows targets"],
) -> None:
    """Add x'y in place, y rounded to 2^-57 of each column's largest entry.

    y = s (d_1/64 + d_2/(64·128) + ...) with whole |d_k| <= 64, s a power of two: the
    products with each digit are exact, and their sum is made in float64.
    """
    size = _STRIP // _DIGITS
    places = 1 / (_FIRST * _BASE ** torch.arange(_DIGITS).double())
    for start in range(0, y.shape[1], size):
        part = y[:, start : start + size]
        scale, digits = _digits(part)
        padded = _padded(digits)
        padded[: digits.shape[0], : digits.shape[1]] = digits
        found = product(x, Integers(padded, int(_FIRST)))
        found = found[: len(total), : digits.shape[1]].unflatten(1, (_DIGITS, -1))
        # From the last digit on: the small ones first.
        sums = torch.einsum("jdt,d->jt", found.flip(1), places.flip(0).to(total))
        total[:, start : start + size] += sums * scale


@lru_cache
def sums_integers(device: torch.device) -> bool:
    """Return whether a device multiplies 8-bit integers, and rightly.

    Tried on rows and columns as many as a strip has, in the layout that is used.
    """
    rows, columns = 256, 1024
    a, b = (
        ((torch.arange(rows * columns) * step) % 129 - 64).to(torch.int8)
        for step in (37, 101)
    )
    a, b = a.reshape(rows, columns), b.reshape(rows, columns)[:, :_STRIP]
    expected = (a.double().T @ b.double()).to(torch.int32)
    try:
        found = torch._int_mm(
            a.to(device).T.contiguous(), b.to(device).contiguous()
        ).cpu()
    except RuntimeError:  # NotImplementedError is one
        return False
    return torch.equal(found, expected)


def _digits(
    y: Float[Tensor, "rows targets"],
) -> tuple[Float[Tensor, " targets"], Float[Tensor, "rows digits"]]:
    """Return the scale of each column, and its digits, the first of all columns first.

    A power of two scales without rounding, and so does taking digits away.
    """
    _, exponent = torch.frexp(y.abs().amax(0))
    scale = torch.ldexp(torch.ones_like(y[0]), exponent)
    rest, digits = _FIRST * (y / scale), []
    for _ in range(_DIGITS):
        digits.append(rest.round())
        rest = _BASE * (rest - digits[-1])
    return scale, torch.cat(digits, dim=1)


def _padded(like: Tensor) -> Int8[Tensor, "rows columns"]:
    """Return 8-bit zeros, with sides that matrix units take."""
    sides = (max(-(-n // _MULTIPLE) * _MULTIPLE, _LEAST_SIDE) for n in like.shape)
    return torch.zeros(*sides, dtype=torch.int8, device=like.device)


def _runs(left: Tensor, right: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Go over runs of rows of both, short enough that sums stay exact."""
    size = max(size // _MULTIPLE * _MULTIPLE, _MULTIPLE)
    return zip(left.split(size), right.split(size), strict=True)

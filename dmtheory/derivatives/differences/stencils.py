"""Rules of differentiation: where F is taken, and with which coefficients."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Stencil:
    r"""A difference quotient sum_k c_k F(w + o_k h d) / h along a direction d.

    Attributes:
        offsets: o_k, in steps h.
        coefficients: c_k; they sum to 0, and c_k o_k to 1.
        order: The bias is O(h^order).
    """

    offsets: tuple[float, ...]
    coefficients: tuple[float, ...]
    order: int

    @property
    def mirrored(self) -> "Stencil":
        """The same quotient taken from the other side."""
        return Stencil(
            tuple(-offset for offset in self.offsets),
            tuple(-coefficient for coefficient in self.coefficients),
            self.order,
        )


@runtime_checkable
class DifferenceRule(Protocol):
    """A stencil, and another where weights can grow but not fall."""

    @property
    def name(self) -> str:
        """What the rule is called."""
        ...

    @property
    def interior(self) -> Stencil:
        """The stencil where there is room for it."""
        ...

    @property
    def boundary(self) -> Stencil:
        """The stencil at a weight of 0, on one side."""
        ...


@dataclass(frozen=True, slots=True)
class Central:
    """[F(w + h d) - F(w - h d)]/2h, bias (h^2/6) F'''.

    On the boundary [-3 F(w) + 4 F(w + h d) - F(w + 2h d)]/2h, bias -(h^2/3) F'''.
    """

    name = "central"
    interior = Stencil((1.0, -1.0), (0.5, -0.5), 2)
    boundary = Stencil((0.0, 1.0, 2.0), (-1.5, 2.0, -0.5), 2)


@dataclass(frozen=True, slots=True)
class Forward:
    """[F(w + h d) - F(w)]/h, bias (h/2) F''; one training a direction and one more."""

    name = "forward"
    interior = Stencil((0.0, 1.0), (-1.0, 1.0), 1)
    boundary = interior


@dataclass(frozen=True, slots=True)
class Richardson:
    """(4 D(h/2) - D(h))/3 of central quotients D: the h^2 cancels, bias O(h^4).

    On the boundary the same of one-sided ones, bias O(h^3).

    References:
        Richardson 1911.
    """

    name = "Richardson"
    interior = Stencil((0.5, -0.5, 1.0, -1.0), (4 / 3, -4 / 3, -1 / 6, 1 / 6), 4)
    boundary = Stencil((0.0, 0.5, 1.0, 2.0), (-3.5, 16 / 3, -2.0, 1 / 6), 3)

"""Points at which an attribution must refuse to be taken."""

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from dmtheory.testing.properties import Declared, Property, Violation
from dmtheory.testing.strategies.convex import ConvexCase, convex_cases

_ANY = convex_cases()


@dataclass(frozen=True, slots=True)
class _Bad:
    case: ConvexCase
    at: Tensor

    def __str__(self) -> str:
        return f"w = {self.at.tolist()}; {self.case}"

    __repr__ = __str__


@st.composite
def _bad(draw: Any) -> _Bad:
    case = draw(_ANY)
    ones = torch.ones(len(case.y), dtype=torch.float64)
    worse = [ones[1:], -ones, torch.nan * ones, 0 * ones]
    return _Bad(case, draw(st.sampled_from(worse)))


def _refuses_bad_input(declared: Declared, bad: _Bad) -> None:
    try:
        declared(bad.case.problem, at=bad.at)
    except (ValueError, TypeError):
        return
    raise Violation("a point that is no weight vector must be refused by ValueError")


REFUSALS = (
    Property(
        name="bad input refused",
        statement="Weights of another length, negative, not finite or all 0 raise.",
        cases=_bad(),
        check=_refuses_bad_input,
    ),
)

"""Points at which a derivative must refuse to be taken."""

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from dmtheory.testing.properties import Declared, Property, Violation
from dmtheory.testing.strategies.responses import ResponseCase, smooth_responses

_ANY = smooth_responses()


@dataclass(frozen=True, slots=True)
class _Bad:
    case: ResponseCase
    at: Tensor

    def __str__(self) -> str:
        return f"{self.case.said} at w = {self.at.tolist()}"

    __repr__ = __str__


@st.composite
def _bad(draw: Any) -> _Bad:
    case = draw(_ANY)
    ones = torch.ones_like(case.at)
    return _Bad(case, draw(st.sampled_from([ones[1:], -ones, torch.nan * ones])))


def _refuses_bad_input(declared: Declared, bad: _Bad) -> None:
    try:
        declared(bad.case.problem, at=bad.at, coordinates=None, seed=0)
    except (ValueError, TypeError):
        return
    raise Violation("a point that is no weight vector must be refused by ValueError")


REFUSALS = (
    Property(
        name="bad input refused",
        statement="Weights of another length, negative or not finite raise.",
        cases=_bad(),
        check=_refuses_bad_input,
    ),
)

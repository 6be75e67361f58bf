"""Vectors that an operator must refuse."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from dmtheory.testing.contracts.curvature.calls import operated
from dmtheory.testing.properties import Declared, Property, Violation
from dmtheory.testing.strategies.networks import ParameterCase, parameter_cases

_ANY = parameter_cases()


@dataclass(frozen=True, slots=True)
class _Bad:
    case: ParameterCase
    extra: int

    def __str__(self) -> str:
        return f"vectors with {self.extra:+d} entries; {self.case}"

    __repr__ = __str__


def _refuses_bad_input(declared: Declared, bad: _Bad) -> None:
    operator = operated(declared, bad.case)
    n = len(bad.case.params) + bad.extra
    try:
        operator.product(torch.ones(n, 2, dtype=torch.float64))
    except (ValueError, TypeError, RuntimeError):
        return
    raise Violation(f"vectors of {n} entries must be refused")


REFUSALS = (
    Property(
        name="bad input refused",
        statement="Vectors of another length raise.",
        cases=st.builds(_Bad, _ANY, st.sampled_from([1, -1])),
        check=_refuses_bad_input,
    ),
)

"""The parts that a curvature is the sum of: one an example, and the penalty."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from dmtheory.testing.contracts.curvature.calls import check_entries, columns_of
from dmtheory.testing.properties import Declared, Property
from dmtheory.testing.strategies.arrays import permutations
from dmtheory.testing.strategies.networks import ParameterCase, parameter_cases

_ANY = parameter_cases()


@dataclass(frozen=True, slots=True)
class _Reordered:
    case: ParameterCase
    order: Tensor

    def __str__(self) -> str:
        return f"{self.case}; order {self.order.tolist()}"

    __repr__ = __str__


@st.composite
def _reordered(draw: Any) -> _Reordered:
    case = draw(_ANY)
    return _Reordered(case, draw(permutations(len(case.x))))


def _of_examples(case: ParameterCase, rows: Tensor) -> ParameterCase:
    return replace(
        case, x=case.x[rows], y=case.y[rows], scaled_weights=case.scaled_weights[rows]
    )


def _forgets_the_order(declared: Declared, found: _Reordered) -> None:
    moved = _of_examples(found.case, found.order)
    check_entries(
        declared, columns_of(declared, moved), columns_of(declared, found.case), "C"
    )


def _adds_examples_up(declared: Declared, case: ParameterCase) -> None:
    """The losses' part is linear in the weights, the regulariser's has none."""
    penalty = case.ridge * torch.eye(len(case.params)).double()
    other = case.scaled_weights.flip(0) / 3
    parts = [
        columns_of(declared, replace(case, scaled_weights=shares)) - penalty
        for shares in (case.scaled_weights, other, case.scaled_weights + other)
    ]
    check_entries(declared, parts[2], parts[0] + parts[1], "curvature of the losses")


def _takes_weight_zero_as_absent(declared: Declared, case: ParameterCase) -> None:
    shares = case.scaled_weights.clone()
    shares[-1] = 0.0
    found = columns_of(declared, replace(case, scaled_weights=shares))
    without = _of_examples(case, torch.arange(len(case.x) - 1))
    check_entries(declared, found, columns_of(declared, without), "C beside weight 0")


def _has_the_penalty_once(declared: Declared, case: ParameterCase) -> None:
    more = replace(case, ridge=case.ridge + 1.0)
    grown = columns_of(declared, more) - columns_of(declared, case)
    check_entries(
        declared, grown, torch.eye(len(grown)).double(), "growth of C per ridge"
    )


PARTS = (
    Property(
        name="train permutation",
        statement="The order of the examples does not matter.",
        cases=_reordered(),
        check=_forgets_the_order,
    ),
    Property(
        name="weights add up",
        statement="The losses' curvature is linear in the weights w_j / W.",
        cases=_ANY,
        check=_adds_examples_up,
    ),
    Property(
        name="weight 0 = removal",
        statement="An example of weight 0 adds nothing.",
        cases=_ANY,
        check=_takes_weight_zero_as_absent,
    ),
    Property(
        name="penalty once",
        statement="C grows by the identity as the ridge grows by 1.",
        cases=_ANY,
        check=_has_the_penalty_once,
    ),
)

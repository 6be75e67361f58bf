"""Examples and targets in another order, and targets alone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from dmtheory.testing.contracts.attribution.calls import attributed, check_attributed
from dmtheory.testing.properties import Declared, Property
from dmtheory.testing.strategies.arrays import permutations
from dmtheory.testing.strategies.convex import ConvexCase, convex_cases

_ANY = convex_cases()


@dataclass(frozen=True, slots=True)
class _Reordered:
    case: ConvexCase
    order: Tensor

    def __str__(self) -> str:
        return f"{self.case}; order {self.order.tolist()}"

    __repr__ = __str__


@st.composite
def _reordered(draw: Any, size: Callable[[ConvexCase], int]) -> _Reordered:
    case = draw(_ANY)
    return _Reordered(case, draw(permutations(size(case))))


def _moves_with_the_examples(declared: Declared, found: _Reordered) -> None:
    expected = attributed(declared, found.case)[found.order]
    check_attributed(declared, found.case.of_examples(found.order), expected)


def _moves_with_the_targets(declared: Declared, found: _Reordered) -> None:
    expected = attributed(declared, found.case)[:, found.order]
    check_attributed(declared, found.case.of_targets(found.order), expected)


def _keeps_targets_apart(declared: Declared, case: ConvexCase) -> None:
    """A target beside one of a hundred times its size, and alone."""
    loud = replace(
        case,
        x_target=torch.cat([case.x_target, 100 * case.x_target]),
        y_target=case.y_target.repeat(2),
    )
    together = attributed(declared, loud)
    for target in range(len(case.y_target)):
        alone = case.of_targets(torch.tensor([target]))
        check_attributed(declared, alone, together[:, [target]])


SYMMETRIES = (
    Property(
        name="train permutation",
        statement="Scores move with the examples.",
        cases=_reordered(lambda case: len(case.y)),
        check=_moves_with_the_examples,
    ),
    Property(
        name="target permutation",
        statement="Scores move with the targets.",
        cases=_reordered(lambda case: len(case.y_target)),
        check=_moves_with_the_targets,
    ),
    Property(
        name="targets apart",
        statement="A target's scores do not depend on which others are asked for.",
        cases=_ANY,
        check=_keeps_targets_apart,
    ),
)

"""Examples in another order or a few of them, and targets alone."""

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from dmtheory.testing.comparing import check_same
from dmtheory.testing.contracts.derivative.calls import check_derived, derived
from dmtheory.testing.properties import Declared, Property
from dmtheory.testing.strategies.arrays import permutations
from dmtheory.testing.strategies.networks import trained_networks
from dmtheory.testing.strategies.responses import (
    Respond,
    ResponseCase,
    smooth_responses,
)

_ANY = smooth_responses()


@dataclass(frozen=True, slots=True)
class _Reordered:
    case: ResponseCase
    order: Tensor

    def __str__(self) -> str:
        return f"{self.case}; order {self.order.tolist()}"

    __repr__ = __str__


@st.composite
def _reordered(draw: Any, cases: Any) -> _Reordered:
    case = draw(cases)
    return _Reordered(case, draw(permutations(len(case.at))))


def _moves_with_the_examples(declared: Declared, found: _Reordered) -> None:
    case, order = found.case, found.order
    back = order.argsort()

    def change(respond: Respond) -> Respond:
        return lambda w, seeds: respond(w[:, back], seeds)

    moved = case.through(change, case.derivative, "the examples reordered")
    moved = ResponseCase(
        problem=moved.problem,
        at=case.at[order],
        derivative=case.derivative,
        said=moved.said,
    )
    check_derived(declared, moved, derived(declared, case)[order])


def _takes_coordinates(declared: Declared, found: _Reordered) -> None:
    """A few of the coordinates, in any order, are the rows of all of them."""
    chosen = tuple(found.order.tolist()[:2])
    some = derived(declared, found.case, coordinates=chosen)
    check_same(
        some,
        derived(declared, found.case)[list(chosen)],
        "scores of some coordinates",
        tolerance=declared.tolerance,
        size=1.0,
    )


def _keeps_targets_apart(declared: Declared, case: ResponseCase) -> None:
    def change(respond: Respond) -> Respond:
        return lambda w, s: torch.cat([respond(w, s), 100 * respond(w, s)], 1)

    loud = torch.cat([case.derivative, 100 * case.derivative], dim=1)
    beside = case.through(change, loud, "beside a louder one, targets")
    found = derived(declared, beside)[:, : case.derivative.shape[1]]
    check_same(
        found,
        derived(declared, case),
        "scores",
        tolerance=declared.tolerance,
        size=1.0,
    )


SYMMETRIES = (
    Property(
        name="train permutation",
        statement="Scores move with the examples.",
        cases=_reordered(_ANY),
        check=_moves_with_the_examples,
    ),
    Property(
        name="chunk invariance",
        statement="Asking for some coordinates gives the rows of asking for all.",
        cases=_reordered(_ANY | trained_networks()),
        check=_takes_coordinates,
    ),
    Property(
        name="targets apart",
        statement="A target's scores do not depend on which others are asked for.",
        cases=_ANY,
        check=_keeps_targets_apart,
    ),
)

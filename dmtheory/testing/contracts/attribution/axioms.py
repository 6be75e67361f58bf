"""Examples that are alike, absent or idle; coordinates; what scores add up to."""

from dataclasses import replace
from typing import Any

import torch
from hypothesis import strategies as st

from dmtheory.testing.comparing import check_same
from dmtheory.testing.contracts.attribution.calls import attributed, check_attributed
from dmtheory.testing.properties import Declared, Property
from dmtheory.testing.strategies.arrays import weights
from dmtheory.testing.strategies.convex import LEAST_SQUARES, ConvexCase, convex_cases

_ANY = convex_cases()


def _shares_among_duplicates(declared: Declared, case: ConvexCase) -> None:
    """An example again at the end, at the same weight."""
    twice = case.of_examples(torch.tensor([*range(len(case.y)), 0]))
    found = attributed(declared, twice)
    check_same(
        found[-1],
        found[0],
        "scores of the copy of example 0",
        tolerance=declared.tolerance,
        size=1e-3,
    )


@st.composite
def _without_one(draw: Any) -> ConvexCase:
    case = draw(convex_cases(normalisations=("sum",)))
    at = draw(weights(len(case.y))).clone()
    at[-1] = 0.0
    return replace(case, at=at)


def _takes_weight_zero_as_absent(declared: Declared, case: ConvexCase) -> None:
    """The other examples' scores are those of the problem without the last one."""
    without = attributed(declared, case.of_examples(torch.arange(len(case.y) - 1)))
    found = attributed(declared, case)[:-1]
    check_same(
        found,
        without,
        "scores beside an example of weight 0",
        tolerance=declared.tolerance,
        size=1e-3,
    )


def _leaves_null_players_alone(declared: Declared, case: ConvexCase) -> None:
    """An example without features pulls at no parameter; only W can feel its weight."""
    x = case.x.clone()
    x[-1] = 0.0
    found = attributed(declared, replace(case, x=x))[-1]
    check_same(
        found,
        torch.zeros_like(found),
        "scores of an example without features",
        tolerance=declared.tolerance,
        size=1.0,
    )


def _reparametrises(declared: Declared, case: ConvexCase) -> None:
    """Features in other coordinates, parameters in theirs: the same predictions."""
    n = case.x.shape[1]
    mixing = 2 * torch.eye(n).double() + torch.ones(n, n).double().triu(1)
    moved = replace(case, x=case.x @ mixing, x_target=case.x_target @ mixing)
    check_attributed(declared, moved, attributed(declared, case))


def _adds_up_to_nothing(declared: Declared, case: ConvexCase) -> None:
    """F(cw) = F(w) for scale-free training, so that sum_i w_i g_i = 0."""
    found = attributed(declared, case)
    total = case.at @ found
    check_same(
        total,
        torch.zeros_like(total),
        "sum of weights times scores",
        tolerance=declared.tolerance,
        size=max(found.abs().max().item(), 1e-3),
    )


AXIOMS = (
    Property(
        name="duplicates share",
        statement="Two equal examples have equal scores.",
        cases=_ANY,
        check=_shares_among_duplicates,
    ),
    Property(
        name="weight 0 = removal",
        statement="Under `sum`, the others' scores are those without the example.",
        cases=_without_one(),
        check=_takes_weight_zero_as_absent,
    ),
    Property(
        name="null players",
        statement="Under `count`, an example whose loss no parameter moves scores 0.",
        cases=convex_cases(normalisations=("count",)),
        check=_leaves_null_players_alone,
    ),
    Property(
        name="reparametrisation",
        statement="Without a penalty, coordinates of the parameters do not matter.",
        cases=convex_cases(kinds=(LEAST_SQUARES,), ridges=(0.0,)),
        check=_reparametrises,
    ),
    Property(
        name="efficiency",
        statement="Scale-free training, F(cw) = F(w): sum_i w_i g_i = 0.",
        cases=convex_cases(normalisations=("sum",)),
        check=_adds_up_to_nothing,
    ),
)

"""Laws of attributions to trained models that need no truth."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from dmtheory.testing.comparing import check_again, check_same
from dmtheory.testing.contracts.fits import finite_scores
from dmtheory.testing.properties import Declared, Property, Violation
from dmtheory.testing.strategies.arrays import permutations, weights
from dmtheory.testing.strategies.convex import (
    LEAST_SQUARES,
    ConvexCase,
    convex_cases,
)

_ANY = convex_cases()
_SQUARES = convex_cases(kinds=(LEAST_SQUARES,))


def attributed(declared: Declared, case: ConvexCase) -> Tensor:
    """Call the estimator on a case.

    Returns:
        Scores [train, targets].

    Raises:
        Violation: If it returns no finite matrix [train, targets].
    """
    found = declared(case.problem, at=case.at.clone())
    return finite_scores(found, len(case.y), len(case.y_target))


def check_attributed(
    declared: Declared, case: ConvexCase, expected: Tensor, what: str = "scores"
) -> None:
    """Raise unless the scores of a case are as expected, within the stated error."""
    found = attributed(declared, case)
    check_same(found, expected, what, tolerance=declared.tolerance, size=1e-3)


def _returns_a_table(declared: Declared, case: ConvexCase) -> None:
    attributed(declared, case)


def _is_deterministic(declared: Declared, case: ConvexCase) -> None:
    first = attributed(declared, case)
    check_again(attributed(declared, case), first, "scores of the second call")


def _keeps_its_inputs(declared: Declared, case: ConvexCase) -> None:
    problem, at = case.problem, case.at.clone()
    before = {k: v.clone() for k, v in _tensors(problem.data).items()}
    declared(problem, at=at)
    check_same(at, case.at, "at after the call", tolerance=0.0)
    for name, value in _tensors(problem.data).items():
        check_same(value, before[name], f"{name} after the call", tolerance=0.0)


def _tensors(data: Any) -> dict[str, Tensor]:
    names = ("x_train", "y_train", "x_target", "y_target")
    return {name: getattr(data, name).double() for name in names}


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


def _is_linear(declared: Declared, case: ConvexCase) -> None:
    """The output is linear in the target's features: so are its scores."""
    other = case.x_target.flip(1) + torch.arange(1.0, 1.0 + len(case.y_target))[:, None]
    parts = [
        attributed(declared, replace(case, x_target=x)) for x in (case.x_target, other)
    ]
    both = replace(case, x_target=2 * case.x_target - 3 * other)
    check_attributed(declared, both, 2 * parts[0] - 3 * parts[1])


def _scales_with_the_output(declared: Declared, case: ConvexCase) -> None:
    """Responses in another unit: predictions and scores in that unit."""
    expected = 10 * attributed(declared, case)
    check_attributed(declared, replace(case, y=10 * case.y), expected)


def _halves_when_doubled(declared: Declared, case: ConvexCase) -> None:
    """Every example twice: the same model, each copy half of the score."""
    expected = attributed(declared, case) / 2
    every = torch.arange(len(case.y)).repeat(2)
    check_attributed(declared, case.of_examples(every), expected.repeat(2, 1))


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


ATTRIBUTION_LAWS = (
    Property(
        name="table of scores",
        statement="Scores are finite, one row an example and one column a target.",
        cases=_ANY,
        check=_returns_a_table,
    ),
    Property(
        name="determinism",
        statement="The same problem gives the same numbers, to 12 digits.",
        cases=_ANY,
        check=_is_deterministic,
    ),
    Property(
        name="inputs kept",
        statement="Data and weights are as before the call.",
        cases=_ANY,
        check=_keeps_its_inputs,
    ),
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
    Property(
        name="target linearity",
        statement="The scores of 2f - 3g are 2 those of f less 3 those of g.",
        cases=_ANY,
        check=_is_linear,
    ),
    Property(
        name="scale",
        statement="Least squares with responses ten times larger: scores ten times.",
        cases=_SQUARES,
        check=_scales_with_the_output,
    ),
    Property(
        name="unit",
        statement="With every example twice, each copy has half of the score.",
        cases=_ANY,
        check=_halves_when_doubled,
    ),
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
    Property(
        name="bad input refused",
        statement="Weights of another length, negative, not finite or all 0 raise.",
        cases=_bad(),
        check=_refuses_bad_input,
    ),
)

"""Laws of response derivatives that need no truth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from dmtheory.testing.comparing import check_again, check_same
from dmtheory.testing.contracts.fits import DRAWN_ERRORS, finite_scores
from dmtheory.testing.properties import Declared, Property, Violation
from dmtheory.testing.strategies.arrays import permutations
from dmtheory.testing.strategies.networks import trained_networks
from dmtheory.testing.strategies.responses import (
    Respond,
    ResponseCase,
    noisy,
    sample_means,
    set_functions,
    smooth_responses,
)

_ANY = smooth_responses()
_RANDOM = noisy(slope=1.0, level=1.0)
_LEVEL = 1e6


def call(
    declared: Declared,
    case: ResponseCase,
    *,
    seed: int = 0,
    coordinates: tuple[int, ...] | None = None,
) -> Any:
    """Call the estimator on a case."""
    return declared(
        case.problem, at=case.at.clone(), coordinates=coordinates, seed=seed
    )


def derived(
    declared: Declared,
    case: ResponseCase,
    *,
    seed: int = 0,
    coordinates: tuple[int, ...] | None = None,
) -> Tensor:
    """Return the scores of a case.

    Raises:
        Violation: If they are no finite matrix [coordinates, targets].
    """
    found = call(declared, case, seed=seed, coordinates=coordinates)
    n_rows = len(case.at) if coordinates is None else len(coordinates)
    return finite_scores(found, n_rows, case.derivative.shape[1])


def check_derived(declared: Declared, case: ResponseCase, expected: Tensor) -> None:
    """Raise unless the scores of a case are as expected, within the stated error."""
    found = derived(declared, case)
    check_same(found, expected, "scores", tolerance=declared.tolerance, size=1.0)


def check_truth(declared: Declared, case: ResponseCase) -> None:
    """Raise unless scores are the truth, within the stated and the standard errors."""
    stderr = getattr(call(declared, case), "stderr", None)
    check_same(
        derived(declared, case),
        case.derivative,
        "scores",
        tolerance=declared.tolerance,
        size=1.0,
        spread=None if stderr is None else DRAWN_ERRORS * torch.as_tensor(stderr),
    )


def _returns_a_table(declared: Declared, case: ResponseCase) -> None:
    derived(declared, case)


def _is_deterministic(declared: Declared, case: ResponseCase) -> None:
    first = derived(declared, case, seed=3)
    check_again(derived(declared, case, seed=3), first, "scores of the second call")


def _keeps_its_inputs(declared: Declared, case: ResponseCase) -> None:
    at = case.at.clone()
    declared(case.problem, at=at, coordinates=None, seed=0)
    check_same(at, case.at, "at after the call", tolerance=0.0)


def _draws_fresh_seeds(declared: Declared, case: ResponseCase) -> None:
    first, second = (derived(declared, case, seed=seed) for seed in (0, 1))
    if torch.equal(first, second):
        raise Violation("another experiment seed must draw other trainings, got none")


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


def _is_linear(declared: Declared, case: ResponseCase) -> None:
    """f, g = w_0 f and 2f - 3g, each asked for alone."""

    def product(respond: Respond) -> Respond:
        return lambda w, s: w[:, :1] * respond(w, s)

    def both(respond: Respond) -> Respond:
        return lambda w, s: (2 - 3 * w[:, :1]) * respond(w, s)

    other = case.through(product, case.derivative, "w_0 times the response")
    mixed = case.through(both, case.derivative, "2 - 3 w_0 times the response")
    expected = 2 * derived(declared, case) - 3 * derived(declared, other)
    check_derived(declared, mixed, expected)


def _scaled_by(factor: float) -> Callable[[Declared, ResponseCase], None]:
    def check(declared: Declared, case: ResponseCase) -> None:
        def change(respond: Respond) -> Respond:
            return lambda w, s: factor * respond(w, s)

        scaled = case.through(change, case.derivative, f"{factor:g} times the response")
        check_derived(declared, scaled, factor * derived(declared, case))

    return check


def _ignores_a_level(declared: Declared, case: ResponseCase) -> None:
    def change(respond: Respond) -> Respond:
        return lambda w, s: _LEVEL + respond(w, s)

    raised = case.through(change, case.derivative, "a million more than the response")
    check_same(
        derived(declared, raised),
        derived(declared, case),
        "scores",
        tolerance=declared.tolerance + 1e-5,
        size=1.0,
    )


def _leaves_null_players_alone(declared: Declared, case: ResponseCase) -> None:
    def change(respond: Respond) -> Respond:
        def still(w: Tensor, seeds: Tensor) -> Tensor:
            return respond(torch.cat([w[:, :-1], 0 * w[:, -1:] + 1], 1), seeds)

        return still

    case = case.through(change, case.derivative, "without a say of the last example")
    found = derived(declared, case)[-1]
    check_same(
        found,
        torch.zeros_like(found),
        "scores of the example without a say",
        tolerance=declared.tolerance,
        size=1.0,
    )


def _shares_among_duplicates(declared: Declared, case: ResponseCase) -> None:
    def change(respond: Respond) -> Respond:
        def alike(w: Tensor, seeds: Tensor) -> Tensor:
            order = [1, 0, *range(2, w.shape[1])]
            return respond(w, seeds) + respond(w[:, order], seeds)

        return alike

    even = case.through(change, case.derivative, "examples 0 and 1 alike")
    at = case.at.clone()
    at[1] = at[0]
    found = derived(
        declared,
        ResponseCase(
            problem=even.problem, at=at, derivative=case.derivative, said=even.said
        ),
    )
    check_same(
        found[0],
        found[1],
        "scores of two examples that do the same",
        tolerance=declared.tolerance,
        size=1.0,
    )


def _adds_up_to_nothing(declared: Declared, case: ResponseCase) -> None:
    found = derived(declared, case)
    total = case.at @ found
    check_same(
        total,
        torch.zeros_like(total),
        "sum of weights times scores",
        tolerance=declared.tolerance,
        size=1.0,
    )


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


DERIVATIVE_LAWS = (
    Property(
        name="table of scores",
        statement="Scores are finite, one row an example and one column a target.",
        cases=_ANY,
        check=_returns_a_table,
    ),
    Property(
        name="determinism",
        statement="The same experiment seed gives the same numbers, to 12 digits.",
        cases=_RANDOM | trained_networks(),
        check=_is_deterministic,
    ),
    Property(
        name="fresh seeds",
        statement="Another experiment seed draws other trainings.",
        cases=_RANDOM,
        check=_draws_fresh_seeds,
    ),
    Property(
        name="inputs kept",
        statement="The point is as before the call.",
        cases=_ANY,
        check=_keeps_its_inputs,
    ),
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
    Property(
        name="target linearity",
        statement="The scores of 2f - 3g are 2 those of f less 3 those of g.",
        cases=set_functions(),
        check=_is_linear,
    ),
    Property(
        name="scale",
        statement="Outputs in units 1000 times smaller: scores 1000 times.",
        cases=_ANY,
        check=_scaled_by(1000.0),
    ),
    Property(
        name="sign",
        statement="The scores of -f are minus those of f.",
        cases=_ANY,
        check=_scaled_by(-1.0),
    ),
    Property(
        name="precision",
        statement="A level of a million under the output changes nothing.",
        cases=_ANY,
        check=_ignores_a_level,
    ),
    Property(
        name="null players",
        statement="An example on which no output depends has score 0.",
        cases=_ANY,
        check=_leaves_null_players_alone,
    ),
    Property(
        name="duplicates share",
        statement="Two examples that do the same have the same score.",
        cases=set_functions(),
        check=_shares_among_duplicates,
    ),
    Property(
        name="efficiency",
        statement="Scale-free F(cw) = F(w): sum_i w_i g_i = 0.",
        cases=sample_means(),
        check=_adds_up_to_nothing,
    ),
    Property(
        name="bad input refused",
        statement="Weights of another length, negative or not finite raise.",
        cases=_bad(),
        check=_refuses_bad_input,
    ),
)

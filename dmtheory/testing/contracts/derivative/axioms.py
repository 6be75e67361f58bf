"""Examples that do nothing or the same, and what scores add up to."""

import torch
from torch import Tensor

from dmtheory.testing.comparing import check_same
from dmtheory.testing.contracts.derivative.calls import derived
from dmtheory.testing.properties import Declared, Property
from dmtheory.testing.strategies.responses import (
    Respond,
    ResponseCase,
    sample_means,
    set_functions,
    smooth_responses,
)

_ANY = smooth_responses()


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


AXIOMS = (
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
)

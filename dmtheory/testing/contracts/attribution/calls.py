"""Calling an attribution: a table of scores, the same again, nothing touched."""

from typing import Any

from torch import Tensor

from dmtheory.testing.comparing import check_again, check_same
from dmtheory.testing.contracts.scores import finite_scores
from dmtheory.testing.properties import Declared, Property
from dmtheory.testing.strategies.convex import ConvexCase, convex_cases

_ANY = convex_cases()


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


CALLS = (
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
)

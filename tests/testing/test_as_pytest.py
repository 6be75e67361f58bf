"""A contract as parametrised tests: what an author of an estimator would write."""

from typing import Any

import pytest
from samples import unchecked

from dmtheory.problems import or_of_duplicates
from dmtheory.testing import (
    PROPERTIES,
    Declared,
    Violation,
    declares,
    parametrize_with_checks,
)

GAME = declares("problem", not_promised={"continuity": "for the sake of the test"})(
    or_of_duplicates(3, 2)
)


@parametrize_with_checks([GAME])
def test_a_set_function_keeps_its_promises(estimator: Declared, check: Any) -> None:
    with unchecked():
        check(estimator)


def marked() -> dict[str, Any]:
    def test(estimator: Declared, check: Any) -> None: ...

    (mark,) = parametrize_with_checks([GAME])(test).pytestmark
    return {param.id: param.values[1] for param in mark.args[1]}


def test_there_is_a_test_for_every_property() -> None:
    names = [f"SetFunction-{each.name}" for each in PROPERTIES["problem"]]
    assert list(marked()) == names


def test_what_is_not_promised_or_not_applicable_is_skipped_with_the_reason() -> None:
    checks = marked()
    with pytest.raises(pytest.skip.Exception, match="promised: for the sake of"):
        checks["SetFunction-continuity"](GAME)
    with unchecked(), pytest.raises(pytest.skip.Exception, match="not `sum`"):
        checks["SetFunction-scale-free"](GAME)


def test_a_failure_names_the_property_and_the_case() -> None:
    class Silent(type(or_of_duplicates(2, 2))):  # type: ignore[misc]
        def respond(self, weights: Any, seeds: Any) -> Any:
            return super().respond(weights, seeds)[:-1]

    declared = declares("problem")(Silent(values=or_of_duplicates(3, 2).values))
    check = marked()["SetFunction-outputs"]
    with unchecked(), pytest.raises(Violation, match=r"respond returns .* weights 1"):
        check(declared)


def test_a_promise_about_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not_promised must name properties"):
        parametrize_with_checks([declares("problem", not_promised={"x": "y"})(abs)])

"""Contracts as parametrised pytest tests, one a property."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dmtheory.testing.contracts import PROPERTIES
from dmtheory.testing.properties import Declared, Property, Violation
from dmtheory.testing.running import check_names, try_property


@dataclass(frozen=True, slots=True)
class Check:
    """One property as a function of the estimator, for use in a pytest test.

    Attributes:
        property: What is tried.
    """

    property: Property

    def __call__(self, estimator: Declared) -> None:
        """Try the property under the Hypothesis settings in force.

        Raises:
            Violation: If it fails, with the smallest counterexample.
        """
        import pytest

        outcome = try_property(self.property, estimator)
        if outcome.verdict == "fails":
            raise Violation(
                f"{outcome.statement} {outcome.reason}; on {outcome.counterexample}"
            )
        if outcome.verdict != "holds":
            pytest.skip(f"{outcome.verdict}: {outcome.reason}")


def parametrize_with_checks(
    estimators: Iterable[Declared],
) -> Callable[[Callable[..., Any]], Any]:
    """Return a pytest decorator: a test of (estimator, check) for every property.

    A property that is not promised or not applicable is skipped, with the reason.

        @parametrize_with_checks([declares("datamodel")(my_fit)])
        def test_my_fit(estimator, check):
            check(estimator)

    Args:
        estimators: Each declared under a contract.

    Raises:
        ValueError: If an estimator does not promise a property that is none.
    """
    import pytest

    pairs = []
    for declared in estimators:
        check_names(PROPERTIES[declared.contract], declared)
        pairs += [
            pytest.param(declared, Check(each), id=f"{declared.name}-{each.name}")
            for each in PROPERTIES[declared.contract]
        ]
    return pytest.mark.parametrize(("estimator", "check"), pairs)

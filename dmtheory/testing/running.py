"""Try a property on many cases; keep the smallest on which it fails."""

from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Flaky, HypothesisException

from dmtheory.testing.profiles import Profile
from dmtheory.testing.properties import (
    Declared,
    NotApplicable,
    Outcome,
    Property,
    Violation,
)
from dmtheory.testing.table import ContractTable


def run_contract(
    properties: Iterable[Property],
    declared: Declared,
    profile: Profile | None = None,
) -> ContractTable:
    """Return what became of every property.

    Args:
        properties: Those of a contract.
        declared: The estimator, with what it does not promise.
        profile: How hard to try; by default as Hypothesis is set.

    Raises:
        ValueError: If the estimator does not promise a property that is none.
    """
    properties = tuple(properties)
    check_names(properties, declared)
    return ContractTable(
        estimator=declared.name,
        contract=declared.contract,
        tolerance=declared.tolerance,
        outcomes=tuple(try_property(each, declared, profile) for each in properties),
    )


def check_names(properties: Iterable[Property], declared: Declared) -> None:
    """Raise ValueError where an estimator names a property that is none."""
    names = [each.name for each in properties]
    unknown = [name for name in declared.not_promised if name not in names]
    if unknown:
        raise ValueError(
            f"not_promised must name properties of the {declared.contract} contract "
            f"({', '.join(names)}), got {unknown[0]!r}"
        )


def try_property(
    tried: Property, declared: Declared, profile: Profile | None = None
) -> Outcome:
    """Try one property, unless it is not promised."""
    fields: dict[str, Any] = {"property": tried.name, "statement": tried.statement}
    if tried.name in declared.not_promised:
        reason = declared.not_promised[tried.name]
        return Outcome(verdict="not promised", reason=reason, **fields)
    search = _Search(tried, declared)
    try:
        search.run(settings() if profile is None else profile.settings)
    except Flaky:
        return search.failed("fails on a case once and holds on it again", fields)
    except HypothesisException:
        raise
    except Exception as error:
        return search.failed(_said(error), fields)
    return search.held(fields)


class _Search:
    """One property on cases from its strategy, the last of which is the smallest."""

    def __init__(self, tried: Property, declared: Declared) -> None:
        self._tried, self._left_out, self._reason = 0, 0, ""
        self._property, self._declared = tried, declared
        self._last: Any = None

    def run(self, profile: Any) -> None:
        @settings(
            profile,
            max_examples=max(1, profile.max_examples // self._property.cost),
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
            phases=[p for p in profile.phases if p is not Phase.explain],
        )
        @given(case=self._property.cases)
        def attempt(case: Any) -> None:
            self._tried += 1
            self._last = case
            try:
                self._property.check(self._declared, case)
            except (NotApplicable, NotImplementedError) as reason:
                self._left_out += 1
                self._reason = " ".join(str(reason).split()) or "not implemented"

        attempt()

    def held(self, fields: dict[str, Any]) -> Outcome:
        """Return what became of a property that failed on no case."""
        reason = self._reason
        every = self._left_out == self._tried
        if self._left_out and not every:
            reason = f"not on {self._left_out} of {self._tried} cases: {reason}"
        return Outcome(
            verdict="not applicable" if every else "holds",
            reason=reason,
            examples=self._tried - self._left_out,
            **fields,
        )

    def failed(self, reason: str, fields: dict[str, Any]) -> Outcome:
        """Return what became of a property that failed on the last case."""
        return Outcome(
            verdict="fails",
            reason=reason,
            counterexample=str(self._last),
            examples=self._tried - self._left_out,
            **fields,
        )


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, Violation) else f"{type(error).__name__}: {text}"

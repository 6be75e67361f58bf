"""What a contract is made of: named properties, and what an estimator declares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis.strategies import SearchStrategy

from dmtheory.checks import check_choice

Verdict = Literal["holds", "fails", "not promised", "not applicable"]
CONTRACTS = ("datamodel", "attribution", "derivative", "curvature", "problem")


class Violation(AssertionError):
    """A property does not hold; the message says what came in place of what."""


class NotApplicable(Exception):
    """A property says nothing of this estimator, for a reason that the table gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """An estimator, with what it does and does not promise.

    Attributes:
        estimator: The function or object that a contract is about.
        contract: Which: datamodel, attribution, derivative, curvature or problem.
        not_promised: Why a property is not promised, by the property's name. It is not
            run, and the table says so.
        tolerance: The stated numerical error: two numbers that a property calls equal
            may differ by this share of the larger array's largest entry.
        limit: For a datamodel: what it estimates where the population coefficients
            are beta and a mask's variance is v, as a function of (beta, v); beta by
            default. Ridge with penalty lambda has beta/(1 + lambda/v), v = p(1-p).
        kind: For a curvature: "hessian", "gauss-newton", "fisher" or
            "empirical-fisher", whose dense matrix it must agree with.
    """

    estimator: Any
    contract: str
    not_promised: Mapping[str, str] = field(default_factory=dict)
    tolerance: float = 1e-8
    limit: Callable[[Any, float], Any] | None = None
    kind: str = "hessian"

    def __post_init__(self) -> None:
        check_choice(self.contract, CONTRACTS, "contract")
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance must lie in [0, 1), got {self.tolerance}")

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the estimator."""
        return self.estimator(*arguments, **named)

    @property
    def name(self) -> str:
        """What tables call it."""
        named = getattr(self.estimator, "__name__", None)
        return named or type(self.estimator).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One thing that every estimator under a contract owes.

    Attributes:
        name: A short name, unique within the contract.
        statement: The same as a sentence, with the equation where there is one.
        cases: What it is tried on.
        check: Raises `Violation` where a declared estimator breaks it on a case, and
            `NotApplicable` where it says nothing of the estimator.
        cost: How many times fewer cases than a profile's examples are tried.
    """

    name: str
    statement: str
    cases: SearchStrategy[Any]
    check: Callable[[Declared, Any], None]
    cost: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one property.

    Attributes:
        property: The property's name.
        statement: What it says.
        verdict: "holds", "fails", "not promised" or "not applicable".
        reason: Why it fails, is not promised or not applicable; empty where it holds.
        counterexample: The smallest case found on which it fails.
        examples: Cases that were tried, those of shrinking included.
    """

    property: str
    statement: str
    verdict: Verdict
    reason: str = ""
    counterexample: str | None = None
    examples: int = 0

"""The table of a contract: what holds, what does not, and the smallest case of that."""

from dataclasses import asdict, dataclass
from typing import Any

from dmtheory.testing.properties import Outcome, Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractTable:
    """What became of every property of a contract.

    Attributes:
        estimator: The estimator's name.
        contract: The contract's.
        tolerance: The numerical error that the estimator states.
        outcomes: One entry a property.
    """

    estimator: str
    contract: str
    tolerance: float
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Properties that do not hold."""
        return tuple(each for each in self.outcomes if each.verdict == "fails")

    @property
    def passed(self) -> bool:
        """Whether everything that is promised and applicable holds."""
        return not self.failed

    def verdict(self, name: str) -> str:
        """Return the verdict on a property.

        Raises:
            ValueError: If the contract has no such property.
        """
        found = [each.verdict for each in self.outcomes if each.property == name]
        if not found:
            raise ValueError(f"property must be one of the table's, got {name!r}")
        return found[0]

    def check(self) -> None:
        """Raise `Violation` with the whole table unless everything promised holds.

        Raises:
            Violation: If a property fails.
        """
        if self.failed:
            raise Violation(str(self))

    def to_json(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return {**asdict(self), "passed": self.passed}

    def __str__(self) -> str:
        width = max(len(each.property) for each in self.outcomes)
        title = (
            f"{self.estimator}: {self.contract} contract, stated numerical error "
            f"{self.tolerance:g}"
        )
        lines = [title]
        for each in self.outcomes:
            line = f"  {each.property:<{width}}  {each.verdict:<14}"
            lines.append(f"{line}  {each.reason}".rstrip())
            if each.counterexample is not None:
                lines.append(f"  {'':<{width}}  on {each.counterexample}")
        return "\n".join(lines)

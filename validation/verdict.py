"""From an interval and a tolerance to a verdict."""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from dmtheory.agreement.bootstrap import Interval

SUPPORTED, REFUTED = "supported", "refuted"
INCONCLUSIVE, SKIPPED = "inconclusive", "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One checkable statement of a claim.

    Attributes:
        name: A short name.
        statement: What is stated about the number.
        interval: The number with its interval.
        tolerance: The values for which the statement holds, fixed beforehand; None
            is an open end.
        expected: "supported" or "refuted".
        headline: Whether the part is the claim's own statement; the claim's verdict
            is that of its headline parts.
    """

    name: str
    statement: str
    interval: Interval
    tolerance: tuple[float | None, float | None]
    expected: str = SUPPORTED
    headline: bool = True

    @property
    def verdict(self) -> str:
        """Supported if the whole interval is inside, refuted if outside, else open."""
        if not self.interval.finite:
            return INCONCLUSIVE
        low = -float("inf") if self.tolerance[0] is None else self.tolerance[0]
        high = float("inf") if self.tolerance[1] is None else self.tolerance[1]
        if low <= self.interval.low and self.interval.high <= high:
            return SUPPORTED
        if self.interval.high < low or self.interval.low > high:
            return REFUTED
        return INCONCLUSIVE

    @property
    def passed(self) -> bool:
        """Whether the verdict is the expected one."""
        return self.verdict == self.expected

    @property
    def note(self) -> str:
        """For an open verdict, how much more evidence would decide it."""
        if self.verdict != INCONCLUSIVE:
            return ""
        if not self.interval.finite:
            return "the number is not finite; see the estimates"
        half_width = (self.interval.high - self.interval.low) / 2
        edges = [edge for edge in self.tolerance if edge is not None]
        distance = min(abs(self.interval.value - edge) for edge in edges)
        if distance == 0:
            return "the value lies on the edge of the tolerance"
        factor = (half_width / distance) ** 2
        return f"about {max(factor, 1.0):.1f} times the models would decide it"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "statement": self.statement,
            **interval_to_json(self.interval),
            "tolerance": list(self.tolerance),
            "expected": self.expected,
            "verdict": self.verdict,
            "passed": self.passed,
            "note": self.note,
        }


def interval_to_json(interval: Interval) -> dict[str, float | None]:
    """Return plain values; JSON has no infinities, so what is not finite is null."""
    return {
        name: value if isfinite(value) else None
        for name, value in asdict(interval).items()
    }


def combined_verdict(parts: list[Part]) -> str:
    """Return the verdict of a claim from those of its headline parts.

    All alike: that verdict. One refuted among supported ones refutes the claim;
    otherwise it is inconclusive.
    """
    verdicts = {part.verdict for part in parts if part.headline}
    if len(verdicts) == 1:
        return verdicts.pop()
    if INCONCLUSIVE in verdicts:
        return INCONCLUSIVE
    return REFUTED


def reason_for(parts: list[Part]) -> str:
    """Return one line on the parts that did not come out as expected."""
    lines = [
        f"{part.name}: {part.verdict}, expected {part.expected}"
        + (f" ({part.note})" if part.note else "")
        for part in parts
        if not part.passed
    ]
    return "; ".join(lines)

"""From an interval and a tolerance to a verdict."""

from dataclasses import asdict, dataclass
from math import ceil, isfinite
from typing import Any

from scipy.special import ndtri

from dmtheory.agreement.bootstrap import Interval

SUPPORTED, REFUTED = "supported", "refuted"
INCONCLUSIVE, SKIPPED = "inconclusive", "skipped"
# With as many models as bring an end of a 95 % interval to the edge, the next run's own
# error decides half of the time; with so many times more, nine times in ten.
POWER = float((ndtri(0.975) + ndtri(0.9)) / ndtri(0.975)) ** 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One checkable statement of a claim.

    Attributes:
        name: A short name.
        statement: What is stated about the number.
        interval: The number with its interval.
        tolerance: The values for which the statement holds, fixed before the run's
            seed was drawn; None is an open end.
        expected: "supported" or "refuted".
        headline: Whether the part is the claim's own statement; the claim's verdict
            is that of its headline parts.
        over: What the interval is over, and so what narrows it: "models" (seeds and
            subsets, which more trainings bring), or such as "targets".
        judged: Whether the part can fail. A number that is only reported has no
            p-value.
    """

    name: str
    statement: str
    interval: Interval
    tolerance: tuple[float | None, float | None]
    expected: str = SUPPORTED
    headline: bool = True
    over: str = "models"
    judged: bool = True

    @property
    def verdict(self) -> str:
        """Supported if the whole interval is inside, refuted if outside, else open."""
        if not self.interval.finite:
            return INCONCLUSIVE
        low, high = self.edges
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
    def times(self) -> float:
        """How many times the models bring an open interval to the edge of a verdict.

        1 where none is open. Both sides of an interval shrink as one over the square
        root of the models: of a value inside the tolerance both ends have to come
        inside, of a value outside the end that faces it has to leave.
        Infinite where no number is enough.
        """
        if self.verdict != INCONCLUSIVE:
            return 1.0
        if not self.interval.finite:
            return float("inf")
        low, high = self.edges
        value = self.interval.value
        below, above = value - self.interval.low, self.interval.high - value
        if low <= value <= high:
            reach = max(_over(below, value - low), _over(above, high - value))
        else:
            reach = below / (value - high) if value > high else above / (low - value)
        return reach**2

    def note(self, models: int = 0) -> str:
        """For an open verdict, how much more evidence would decide it.

        Args:
            models: Trainings behind the part, where known.

        Returns:
            A clause; empty where the verdict is not open.
        """
        if self.verdict != INCONCLUSIVE:
            return ""
        if not self.interval.finite:
            return (
                "no number of further models is known to decide it: the number is not "
                "finite; see the estimates"
            )
        if not isfinite(self.times):
            return (
                f"no number of further {self.over} is known to decide it: the value "
                "lies on the edge of the tolerance"
            )
        times = POWER * self.times
        counted = models and self.over == "models"
        more = f", {ceil((times - 1) * models):,} further ones," if counted else ""
        return (
            f"about {times:.2f} times the {self.over}{more} would decide it nine times "
            "in ten"
        )

    @property
    def edges(self) -> tuple[float, float]:
        """The tolerance, open ends infinite."""
        low, high = self.tolerance
        return (
            -float("inf") if low is None else low,
            float("inf") if high is None else high,
        )

    def to_json(self, models: int = 0) -> dict[str, Any]:
        """Return plain values; `models` are the trainings behind them, where known."""
        return {
            "name": self.name,
            "statement": self.statement,
            **interval_to_json(self.interval),
            "tolerance": list(self.tolerance),
            "expected": self.expected,
            "verdict": self.verdict,
            "passed": self.passed,
            "note": self.note(models),
            "headline": self.headline,
            "over": self.over,
            "judged": self.judged,
        }


def part_of(data: dict[str, Any]) -> Part:
    """Return the part that `to_json` wrote; null numbers are not finite."""
    numbers = (data[name] for name in ("value", "low", "high"))
    low, high = data["tolerance"]
    return Part(
        name=data["name"],
        statement=data["statement"],
        interval=Interval(*(float("nan") if x is None else x for x in numbers)),
        tolerance=(low, high),
        expected=data["expected"],
        headline=data["headline"],
        over=data["over"],
        judged=data["judged"],
    )


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


def reason_for(parts: list[Part], models: int = 0) -> str:
    """Return one line on the parts that did not come out as expected.

    Args:
        parts: The parts of an entry.
        models: Trainings behind them, where known.

    Returns:
        What is wrong; empty where nothing is.
    """
    lines = [
        f"{part.name}: {part.verdict}, expected {part.expected}"
        + (f" ({part.note(models)})" if part.note(models) else "")
        for part in parts
        if not part.passed
    ]
    return "; ".join(lines)


def _over(reach: float, room: float) -> float:
    """Return how much too far an end reaches for the room that it has."""
    return 0.0 if reach <= room else (reach / room if room > 0 else float("inf"))

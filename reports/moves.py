"""Whether a number of one run and the same number of another differ by more than noise.

Intervals are read as 95 % intervals of normal estimates. Half of one, on the side
where the other run's number lies, is 1.96 standard errors, so an interval may be
lopsided. Two runs of other seeds are independent, and their difference has the standard
error sqrt(s_a^2 + s_b^2). Among K such numbers the largest of K honest differences is
some way out by chance, so a number counts as moved beyond the level at which a
comparison without any difference raises a false alarm with probability at most 5 %,
whatever K (Bonferroni).

With the same seeds and settings the same models are trained, and the numbers have to be
the same but for rounding: what differs then is no noise, however little it is. With the
same seed and other settings some trainings may be shared; differences are then smaller
than two independent runs would have, so less is flagged, not more.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

Json = dict[str, Any]

FALSE_ALARM = 0.05
_HALF_WIDTH = NormalDist().inv_cdf(0.975)
# Statistics are of the order of 1: slopes, correlations, shares.
_ROUNDING = 1e-9

SAME, WITHIN, BEYOND = "same", "within noise", "beyond noise"
CHANGED, UNJUDGED = "changed", "no interval"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A number in two runs.

    Attributes:
        claim: Id of its claim.
        scale: The entry's scale.
        problem: The entry's problem.
        name: The number's name.
        before: Value, low and high in the first run.
        after: Those in the other.
        errors: Difference in joint standard errors; None where there are none.
        kind: "same" but for rounding; "within noise" or "beyond noise" of independent
            runs; "changed" where the seeds are the same and the numbers should be; "no
            interval" where values differ that have none to judge by.
    """

    claim: str
    scale: str
    problem: str
    name: str
    before: tuple[float | None, float | None, float | None]
    after: tuple[float | None, float | None, float | None]
    errors: float | None
    kind: str


def moves_of(before: Json, after: Json, *, same_models: bool) -> list[Move]:
    """Return every number that an entry has in both runs, not yet judged.

    Args:
        before: The entry in the first run.
        after: The entry in the other.
        same_models: Whether seeds and settings are the same.

    Returns:
        Numbers; of those that are not the same, `kind` is "within noise" or, with the
        same seeds, "changed", until `judged` has seen all of them.
    """
    old, new = _numbers(before), _numbers(after)
    place = {key: before[key] for key in ("scale", "problem")}
    return [
        Move(
            claim=before["id"],
            **place,
            name=name,
            before=old[name],
            after=new[name],
            errors=_errors(old[name], new[name]),
            kind=_kind(old[name], new[name], same_models=same_models),
        )
        for name in old
        if name in new
    ]


def judged(moves: Iterable[Move]) -> tuple[list[Move], float]:
    """Say which independent numbers moved beyond noise.

    Args:
        moves: All numbers of a comparison.

    Returns:
        The same numbers, and the joint standard errors beyond which one counts.
    """
    found = list(moves)
    count = sum(move.kind == WITHIN for move in found)
    limit = NormalDist().inv_cdf(1 - FALSE_ALARM / 2 / max(count, 1))
    return [
        replace(move, kind=BEYOND)
        if move.kind == WITHIN and move.errors is not None and abs(move.errors) > limit
        else move
        for move in found
    ], limit


_Estimate = tuple[float | None, float | None, float | None]


def _numbers(entry: Json) -> dict[str, _Estimate]:
    """Return an entry's parts, and its statistics that say something else."""
    parts = {part["name"]: _estimate(part) for part in entry["parts"]}
    others = {
        name: _estimate(one)
        for name, one in entry["statistics"].items()
        if name not in parts and _estimate(one) not in parts.values()
    }
    return parts | others


def _estimate(one: Json) -> _Estimate:
    return one["value"], one["low"], one["high"]


def _kind(before: _Estimate, after: _Estimate, *, same_models: bool) -> str:
    if all(_is_same(a, b) for a, b in zip(before, after, strict=True)):
        return SAME
    if same_models:
        return CHANGED
    return UNJUDGED if _errors(before, after) is None else WITHIN


def _is_same(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def _errors(before: _Estimate, after: _Estimate) -> float | None:
    """Return the difference over its standard error; None where that is not known."""
    (a, *_), (b, *_) = before, after
    if a is None or b is None:
        return None
    sides = _side(before, toward=b), _side(after, toward=a)
    if None in sides:
        return None
    error = math.hypot(*(side or 0.0 for side in sides)) / _HALF_WIDTH
    return (b - a) / error if error > 0 else None


def _side(estimate: _Estimate, *, toward: float) -> float | None:
    """Return half an interval, on the side where another number lies."""
    value, low, high = estimate
    end = high if value is not None and toward >= value else low
    return None if value is None or end is None else abs(end - value)

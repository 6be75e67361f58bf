"""Joint bootstrap over the independent units (models, seeds) behind estimates."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dmtheory.agreement.statistics import Split
from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least
from dmtheory.designs.seeds import Purpose, random_words

# Draws are taken in slices of about this many numbers, which bounds memory.
_SLICE_ENTRIES = 2**21


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its interval.

    Attributes:
        value: The point estimate.
        low: Lower limit.
        high: Upper limit.
    """

    value: float
    low: float
    high: float

    @staticmethod
    def exact(value: float) -> "Interval":
        """Return the interval of a number without sampling error."""
        return Interval(value, value, value)

    def over(self, divisor: float) -> "Interval":
        """Return the interval of the number over a known one, which is > 0."""
        return Interval(self.value / divisor, self.low / divisor, self.high / divisor)

    def less(self, known: float) -> "Interval":
        """Return the interval of the number less a known one."""
        return Interval(self.value - known, self.low - known, self.high - known)

    def clipped(self, least: float, most: float) -> "Interval":
        """Return the interval cut to the range that its number cannot leave."""
        return Interval(self.value, max(self.low, least), min(self.high, most))

    @property
    def finite(self) -> bool:
        """Whether all three numbers are finite."""
        numbers = torch.tensor([self.value, self.low, self.high])
        return bool(torch.isfinite(numbers).all())


Statistic = Callable[[list[Split]], dict[str, Tensor]]


def bootstrap(
    attributions: list[Attribution],
    statistic: Statistic,
    *,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return statistics of several estimates with centred percentile intervals.

    Each estimate's units are split into two halves; a draw resamples the units within
    each half, of all estimates at once. An exact estimate keeps its scores.

    An interval is the value plus the draws' deviations from their own median. A draw
    carries the noise of the data and that of the resample, so statistics that noise
    displaces (a raw correlation, a relative error) sit too low or too high in every
    draw; the deviations do not. For the same reason intervals of slopes are wide where
    an estimate is mostly noise: at a reliability of .83 a nominal .95 covers .99.

    Args:
        attributions: Estimates of the same rows and columns.
        statistic: Takes a split an estimate and returns named values a draw.
        draws: Bootstrap draws, at least 1,000.
        confidence: Coverage of the intervals, in (0, 1).
        seed: Seed of the resampling.

    Returns:
        One interval a name, its value computed from the estimates themselves.

    Raises:
        ValueError: If an estimate has an error but fewer than four units.
    """
    check_at_least(draws, 1000, "draws")
    for attribution in attributions:
        _check_units(attribution)
    point = statistic([split(a) for a in attributions])
    if all(attribution.exact for attribution in attributions):
        return {name: Interval.exact(value.item()) for name, value in point.items()}
    slices: list[dict[str, Tensor]] = []
    for rows in _slices(attributions, draws):
        slices.append(
            statistic([_resample(a, rows, seed, i) for i, a in enumerate(attributions)])
        )
    tail = torch.tensor([(1 - confidence) / 2, 0.5, (1 + confidence) / 2]).double()
    intervals = {}
    for name, value in point.items():
        sample = torch.cat([piece[name] for piece in slices])
        low, median, high = torch.quantile(sample.double(), tail).tolist()
        centre = value.item()
        intervals[name] = Interval(
            centre, centre + low - median, centre + high - median
        )
    return intervals


def split(attribution: Attribution) -> Split:
    """Return the scores with two independent half-sample estimates, a single draw.

    An exact estimate is both of its halves.
    """
    _check_units(attribution)
    scores, units = attribution.scores[None], attribution.units
    if units is None:
        return Split(scores, scores, scores)
    first, second = units[::2].mean(0), units[1::2].mean(0)
    return Split(scores, first[None], second[None])


def _resample(attribution: Attribution, rows: Tensor, seed: int, stream: int) -> Split:
    units = attribution.units
    if units is None:
        scores = attribution.scores.expand(len(rows), -1, -1)
        return Split(scores, scores, scores)
    first = _draw(units[::2], rows, seed, 2 * stream)
    second = _draw(units[1::2], rows, seed, 2 * stream + 1)
    # With an odd number of units one half has one more, and counts for more.
    share = len(units[::2]) / len(units)
    return Split(share * first + (1 - share) * second, first, second)


def _draw(units: Tensor, rows: Tensor, seed: int, stream: int) -> Tensor:
    """Return the mean of a resample of the units, a draw.

    Deviations are inflated by sqrt(n/(n-1)): a bootstrap of n units has variance
    smaller than that of their mean by (n-1)/n, which matters for few seeds.
    """
    n = len(units)
    ids = torch.arange(n) + stream * 2**20
    words = random_words(seed, Purpose.BOOTSTRAP, rows, ids)
    picks = (words * n) >> 32
    counts = torch.zeros(len(rows), n, dtype=units.dtype)
    counts.scatter_add_(1, picks, torch.ones_like(counts))
    centre = units.mean(0)
    moves = (counts / n) @ (units - centre).flatten(1)
    return centre + (n / (n - 1)) ** 0.5 * moves.unflatten(1, centre.shape)


def _check_units(attribution: Attribution) -> None:
    if attribution.exact:
        return
    n = 0 if attribution.units is None else len(attribution.units)
    if n < 4:
        raise ValueError(
            f"units must number at least 4 for an interval, got {n} behind the "
            f"{attribution.estimand.quantity}: use more seeds or more models"
        )


def _slices(attributions: list[Attribution], draws: int) -> Iterator[Tensor]:
    size = max(1, _SLICE_ENTRIES // attributions[0].scores.numel())
    yield from torch.arange(draws).split(size)

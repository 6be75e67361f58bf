"""Bootstrap over the subsets of an evaluation, many targets at once."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.checks import check_at_least
from dmtheory.designs.seeds import Purpose, random_words


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intervals:
    """One number a target, each with its interval.

    Attributes:
        value: The point estimates.
        low: Lower limits.
        high: Upper limits.
    """

    value: Float[Tensor, " targets"]
    low: Float[Tensor, " targets"]
    high: Float[Tensor, " targets"]

    def clipped(self, least: float, most: float) -> "Intervals":
        """Return the limits cut to the range that the numbers cannot leave."""
        return Intervals(
            value=self.value,
            low=self.low.clamp_min(least),
            high=self.high.clamp_max(most),
        )


def resample_counts(
    n_units: int, unit_size: int, *, draws: int, seed: int
) -> Float[Tensor, "draws rows"]:
    """Return how often each row enters each draw; a unit's rows move as one.

    Args:
        n_units: Independent units.
        unit_size: Rows of a unit.
        draws: Bootstrap draws, at least 1,000.
        seed: Seed of the resampling.

    Returns:
        Counts; those of a draw sum to the number of rows.
    """
    check_at_least(draws, 1000, "draws")
    words = random_words(
        seed, Purpose.BOOTSTRAP, torch.arange(draws), torch.arange(n_units)
    )
    counts = torch.zeros(draws, n_units, dtype=torch.float64)
    counts.scatter_add_(1, (words * n_units) >> 32, torch.ones_like(counts))
    return counts.repeat_interleave(unit_size, 1)


def as_is_and_resampled(
    n_units: int, unit_size: int, *, draws: int = 1000, seed: int = 0
) -> Float[Tensor, "samples rows"]:
    """Return the same, after a first row that holds every row once: the sample itself.

    What `interval_of` takes is a statistic of each of these rows.
    """
    counts = resample_counts(n_units, unit_size, draws=draws, seed=seed)
    return torch.cat([torch.ones_like(counts[:1]), counts])


def interval_of(samples: Float[Tensor, " samples"]) -> Interval:
    """Return a number, the first, with its interval from its draws, the rest."""
    return centred_interval(samples[0], samples[1:])


def pooled_products(
    x: Float[Tensor, "subsets targets"],
    y: Float[Tensor, "subsets targets"],
    counts: Float[Tensor, "draws subsets"],
) -> Float[Tensor, " draws"]:
    """Return summed products about each draw's own means, over all targets.

    Sides come centred on their means, so that a draw's own are a small correction.
    """
    means = ((counts @ x) * (counts @ y)).sum(1) / counts.sum(1)
    return counts @ (x * y).sum(1) - means


def centred_intervals(
    value: Float[Tensor, " targets"],
    sample: Float[Tensor, "draws targets"],
    confidence: float = 0.95,
) -> Intervals:
    """Return values plus their draws' deviations from the draws' own median.

    As in `bootstrap.bootstrap`: what displaces every draw displaces no interval.
    """
    levels = [(1 - confidence) / 2, 0.5, (1 + confidence) / 2]
    tail = torch.tensor(levels, dtype=torch.float64)
    low, median, high = torch.quantile(sample, tail, dim=0)
    return Intervals(value=value, low=value + low - median, high=value + high - median)


def centred_interval(
    value: Float[Tensor, ""], sample: Float[Tensor, " draws"], confidence: float = 0.95
) -> Interval:
    """Return the same for one number."""
    found = centred_intervals(value[None], sample[:, None], confidence)
    return Interval(found.value.item(), found.low.item(), found.high.item())

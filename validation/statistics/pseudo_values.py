"""Jackknife pseudo-values: what each seed and each subset does to a statistic.

A score of ranks is no mean, so its seeds cannot be drawn as numbers are: drawn twice, a
seed's noise counts twice in every draw, and ranks feel it. Left out one at a time, each
moves the score by its share; the shares are drawn as a mean's terms are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import as_is_and_resampled, interval_of

# Takes derivatives [seeds, train, targets], outputs [subsets, seeds, targets] and how
# often each subset counts [draws, subsets]; returns a number a draw.
Statistic = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Jackknifed:
    """A statistic with pseudo-values over each source of chance behind it.

    Attributes:
        value: The statistic of everything.
        sources: Pseudo-values by source; sources of two names are independent.
    """

    value: float
    sources: dict[str, Float[Tensor, " members"]]

    def interval(self) -> Interval:
        """Return the value with its 95 % interval, all sources drawn together."""
        samples = torch.full((1001,), self.value, dtype=torch.float64)
        for stream, pseudo in enumerate(self.sources.values()):
            samples += drawn_shares(len(pseudo), stream) @ pseudo - pseudo.mean()
        return interval_of(samples)


def combined(*terms: tuple[float, Jackknifed]) -> Jackknifed:
    """Return the sum of statistics, each times its factor.

    A source of the same name is the same in all, member by member.
    """
    sources: dict[str, Tensor] = {}
    for factor, term in terms:
        for name, pseudo in term.sources.items():
            sources[name] = sources.get(name, 0.0) + factor * pseudo
    value = sum(factor * term.value for factor, term in terms)
    return Jackknifed(value=value, sources=sources)


def drawn_shares(n: int, stream: int) -> Float[Tensor, "samples members"]:
    """Return the share of each of n members in draws of their mean, theirs first.

    Deviations are sqrt(n/(n-1)) times those of plain draws, whose variance is smaller
    than that of the mean of n by (n-1)/n.
    """
    counts = as_is_and_resampled(n, 1, seed=stream)
    return (1 + (n / max(1, n - 1)) ** 0.5 * (counts - 1)) / n


def pseudo_values(
    whole: Float[Tensor, ""], without: Float[Tensor, " members"]
) -> Float[Tensor, " members"]:
    """Return n T - (n-1) T_(-i), of n members; of a mean they are its terms.

    References:
        Efron and Tibshirani 1993, An introduction to the bootstrap, section 11.5.
    """
    n = len(without)
    return n * whole - (n - 1) * without


def without_each(values: Float[Tensor, "members rows targets"]) -> list[Tensor]:
    """Return the values without each member in turn."""
    every = torch.arange(len(values))
    return [values[every != k] for k in range(len(values))]


def as_is_and_without_each(n: int) -> Float[Tensor, "draws members"]:
    """Return how often each member counts: all once, then all but one in turn."""
    every = torch.ones(n + 1, n, dtype=torch.float64)
    every[1:].fill_diagonal_(0.0)
    return every


def jackknifed(
    statistic: Statistic,
    units: Float[Tensor, "seeds train targets"],
    outputs: Float[Tensor, "subsets others targets"],
    *,
    names: tuple[str, str, str] = ("derivative", "subsets", "seeds"),
) -> Jackknifed:
    """Return a statistic of derivatives and outputs that share no seed.

    Args:
        statistic: Of both and of how often each subset counts.
        units: A derivative a seed; one alone has no error.
        outputs: Outputs of subsets and seeds; one seed alone has no error.
        names: What the sources are called: the derivative's seeds, the subsets and
            their seeds.

    Returns:
        The statistic with pseudo-values over each of these.
    """
    found = statistic(units, outputs, as_is_and_without_each(len(outputs)))
    once, whole = torch.ones(1, len(outputs), dtype=torch.float64), found[0]
    sources = {names[1]: pseudo_values(whole, found[1:])}
    if len(units) > 1:
        left = [statistic(some, outputs, once) for some in without_each(units)]
        sources[names[0]] = pseudo_values(whole, torch.cat(left))
    if outputs.shape[1] > 1:
        left = [
            statistic(units, some.transpose(0, 1), once)
            for some in without_each(outputs.transpose(0, 1))
        ]
        sources[names[2]] = pseudo_values(whole, torch.cat(left))
    return Jackknifed(value=whole.item(), sources=sources)

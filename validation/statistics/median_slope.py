"""The slope of the median target: models, examples and targets resampled."""

import torch
from jaxtyping import Int64
from torch import Tensor

from dmtheory.agreement.agreement import check_comparable
from dmtheory.agreement.bootstrap import Interval, bootstrap
from dmtheory.agreement.statistics import Split
from dmtheory.attribution import Attribution
from dmtheory.designs.seeds import Purpose, random_words

# Streams of the resampling, beside those of the estimates' own units.
_EXAMPLES, _TARGETS = 2**10, 2**10 + 1


def median_slope(estimate: Attribution, reference: Attribution) -> Interval:
    """Return the median over targets of each one's slope, errors in variables.

    A pooled slope is ruled by the few largest scores: an example on a target that is
    its near-copy may be a third of the sum. Its interval holds examples and targets
    fixed. Here no target counts for more than another, and a draw resamples the
    models behind both sides, the examples and the targets.

    Raises:
        ValueError: If the two are of different outputs, units or rows.

    References:
        Owen 2007, The pigeonhole bootstrap.
    """
    check_comparable(estimate, reference)
    drawn = 0

    def statistic(pair: list[Split]) -> dict[str, Tensor]:
        nonlocal drawn
        a, b = pair
        n_draws, n_train, n_targets = a.whole.shape
        products = a.whole * b.whole, b.first * b.second
        if n_draws == 1:
            # The estimates themselves.
            above, below = (product.sum(1) for product in products)
            return {"slope": (above / below).quantile(0.5, dim=1)}
        draws = torch.arange(drawn, drawn + n_draws)
        drawn += n_draws
        often = torch.zeros(n_draws, n_train, dtype=a.whole.dtype)
        picks = _picks(draws, n_train, _EXAMPLES)
        often.scatter_add_(1, picks, torch.ones_like(often))
        above, below = (
            torch.einsum("de,det->dt", often, product) for product in products
        )
        slopes = (above / below).gather(1, _picks(draws, n_targets, _TARGETS))
        return {"slope": slopes.quantile(0.5, dim=1)}

    return bootstrap([estimate, reference], statistic)["slope"]


def _picks(
    draws: Int64[Tensor, " draws"], n: int, stream: int
) -> Int64[Tensor, "draws n"]:
    """Return which of n enter each draw."""
    ids = torch.arange(n) + stream * 2**20
    return (random_words(0, Purpose.BOOTSTRAP, draws, ids) * n) >> 32

"""Statistics of effects in resamples of examples and of seeds."""

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.resampling import as_is_and_resampled, resample_counts

# Fewer seeds than these are held fixed.
_LEAST_SEEDS = 4

Samples = Float[Tensor, "samples removed targets"]
Counts = Float[Tensor, "samples removed"]


def resampled_means(
    effects: Float[Tensor, "stages seeds removed targets"], draws: int, seed: int
) -> tuple[
    Float[Tensor, "samples stages removed targets"], Float[Tensor, "samples removed"]
]:
    """Return means over seeds, and counts of examples: as they are, then resampled.

    Args:
        effects: Effects of every stage and seed.
        draws: Bootstrap draws, at least 1,000.
        seed: Seed of the resampling.

    Returns:
        Means of 1 + draws samples, the same in each where there are few seeds, and how
        often each sample holds each example.
    """
    n_seeds, n_removed = effects.shape[1:3]
    counts = as_is_and_resampled(n_removed, 1, draws=draws, seed=seed)
    mean = effects.mean(1)[None]
    if n_seeds < _LEAST_SEEDS:
        return mean.expand(1 + draws, -1, -1, -1), counts
    # Its own stream; deviations inflated, as a bootstrap of n units is too narrow.
    picks = resample_counts(n_seeds, 1, draws=draws, seed=seed + 1) / n_seeds
    moves = torch.einsum("ds,ksrt->dkrt", picks, effects - effects.mean(1)[:, None])
    inflated = (n_seeds / (n_seeds - 1)) ** 0.5 * moves
    return torch.cat([mean, mean + inflated]), counts


def inner_products(x: Samples, y: Samples, counts: Counts) -> Float[Tensor, " samples"]:
    """Return <x, y> of each sample, which holds each example `counts` times."""
    return ((x * y).sum(2) * counts).sum(1)


def correlations(x: Samples, y: Samples, counts: Counts) -> Float[Tensor, " samples"]:
    """Return the correlation over examples, pooled within targets."""

    def centred(z: Tensor) -> Tensor:
        share = (counts / counts.sum(1, keepdim=True))[:, :, None]
        return z - (share * z).sum(1, keepdim=True)

    x, y = centred(x), centred(y)
    scale = inner_products(x, x, counts) * inner_products(y, y, counts)
    return inner_products(x, y, counts) / scale.sqrt().clamp_min(1e-300)

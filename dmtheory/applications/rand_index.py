"""The adjusted Rand index of samples that may hold an example several times."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import one_hot


def adjusted_rand(
    first: Int64[Tensor, " examples"],
    second: Int64[Tensor, " examples"],
    counts: Float[Tensor, "draws examples"],
) -> Float[Tensor, " draws"]:
    r"""Return the adjusted Rand index of two partitions, a draw.

    (sum_ab P_ab - A B/P) / ((A + B)/2 - A B/P), where P_ab counts the pairs that share
    cluster a of one and b of the other, A and B those that share a cluster of either,
    and P all pairs. Only pairs of different examples count, each as often as the draw
    holds it: an example always agrees with its own copy, which says nothing.

    Args:
        first: A cluster for every example.
        second: Another cluster for every example.
        counts: How often each draw holds each example.

    Returns:
        1 where the partitions are the same, also where both are trivial.

    References:
        Hubert and Arabie 1985, Comparing partitions, equation 5.
    """
    ours, theirs = (
        one_hot(torch.unique(p, return_inverse=True)[1]).double()
        for p in (first, second)
    )
    together = torch.einsum("ia,ib->iab", ours, theirs).flatten(1)
    shared = _pairs(together, counts)
    one, two = _pairs(ours, counts), _pairs(theirs, counts)
    expected = one * two / _pairs(torch.ones(len(first), 1).double(), counts)
    spread = (one + two) / 2 - expected
    trivial = spread.abs() < 1e-12 * one.clamp_min(1)
    return torch.where(
        trivial, 1.0, (shared - expected) / torch.where(trivial, 1.0, spread)
    )


def _pairs(
    members: Float[Tensor, "examples cells"], counts: Float[Tensor, "draws examples"]
) -> Float[Tensor, " draws"]:
    """Return how many pairs of different examples share a cell."""
    return ((counts @ members).square() - counts.square() @ members).sum(1) / 2

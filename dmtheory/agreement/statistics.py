"""How two sets of scores relate: statistics of independent halves, many draws at once.

Every function takes scores [..., train, targets] and reduces the last two axes. The
errors of the two halves of an estimate are independent, so products across halves
estimate products of the truth without bias, which is what keeps slopes and correlations
from shrinking with noise.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Scores = Float[Tensor, "*draws train targets"]
Statistic = Float[Tensor, "*draws"]


class Split(NamedTuple):
    """An estimate with two independent halves of what it was made from.

    Attributes:
        whole: The estimate.
        first: The estimate from one half of its units.
        second: The estimate from the other half.
    """

    whole: Scores
    first: Scores
    second: Scores


def errors_in_variables_slope(a: Split, b: Split) -> Statistic:
    """Return the slope of a on b through the origin, b measured with error.

    <a, b> / <b1, b2> with b1, b2 independent halves of b, pooled over examples and
    targets. Noise in b enters the numerator linearly and the denominator as a product
    of independent errors, so it moves neither on average; a shares no seed with b.

    References:
        Fuller 1987, Measurement error models, section 1.4 (instrumental variables).
    """
    return _dot(a.whole, b.whole) / _dot(b.first, b.second)


def naive_slope(a: Scores, b: Scores) -> Statistic:
    """Return <a, b> / <b, b>, which noise in b shrinks toward zero."""
    return _dot(a, b) / _dot(b, b)


def pearson(a: Scores, b: Scores) -> Statistic:
    """Return the correlation over examples, pooled within targets."""
    return _covariance(a, b) / (_covariance(a, a) * _covariance(b, b)).sqrt()


def spearman(a: Scores, b: Scores) -> Statistic:
    """Return the rank correlation over examples, averaged over targets."""
    ranks_a, ranks_b = _ranks(a), _ranks(b)
    numerator = (ranks_a * ranks_b).sum(-2)
    return (numerator / (ranks_a.norm(dim=-2) * ranks_b.norm(dim=-2))).mean(-1)


def reliability(a: Split) -> Statistic:
    """Return the share of the variance of a, over examples, that is no error."""
    return _covariance(a.first, a.second) / _covariance(a.whole, a.whole)


def disattenuated_pearson(a: Split, b: Split) -> Statistic:
    """Return the correlation of what a and b estimate, without their errors.

    cov(a, b) / sqrt(cov(a1, a2) cov(b1, b2)); it may exceed 1 by sampling error.

    References:
        Spearman 1904, The proof and measurement of association between two things.
    """
    # Two negative reliabilities must not multiply to a positive one: each is cut at 0,
    # and the correlation is then not finite.
    signal_a = _covariance(a.first, a.second).clamp_min(0)
    signal_b = _covariance(b.first, b.second).clamp_min(0)
    return _covariance(a.whole, b.whole) / (signal_a * signal_b).sqrt()


def relative_error(a: Scores, b: Scores) -> Statistic:
    """Return |a - b| / |b|, norm-wise over examples, the median over targets."""
    ratios = (a - b).norm(dim=-2) / b.norm(dim=-2)
    # torch's median takes the lower of two middle values.
    return ratios.quantile(0.5, dim=-1)


def squared_relative_gap(a: Split, b: Split) -> Statistic:
    """Return |a - b|^2 / |b|^2 pooled over targets, unbiased in the numerator.

    <a1 - b1, a2 - b2> / <b1, b2>; it may fall below 0 by sampling error.
    """
    gap = _dot(a.first - b.first, a.second - b.second)
    return gap / _dot(b.first, b.second)


def corrected_relative_error(a: Split, b: Split) -> Statistic:
    """Return |a - b| / |b| pooled over targets, the errors' own share taken out."""
    return squared_relative_gap(a, b).clamp_min(0).sqrt()


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return torch.einsum("...it,...it->...", x, y)


def _covariance(x: Tensor, y: Tensor) -> Tensor:
    """Return the summed covariance over examples, each target centred on its own."""
    return _dot(x - x.mean(-2, keepdim=True), y)


def _ranks(x: Tensor) -> Tensor:
    """Return centred average ranks over examples; exact ties share a rank."""
    columns = x.transpose(-1, -2).contiguous()
    # numpy sorts doubles with vector instructions, three times as fast as torch.
    order = torch.from_numpy(np.argsort(columns.numpy(), axis=-1))
    ordered = columns.gather(-1, order)
    n = columns.shape[-1]
    positions = torch.arange(n, dtype=x.dtype).expand_as(columns)
    starts = torch.ones_like(ordered, dtype=torch.bool)
    starts[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    if not bool(starts.all()):
        group = starts.long().cumsum(-1) - 1
        sums = torch.zeros_like(columns).scatter_add(-1, group, positions)
        sizes = torch.zeros_like(columns).scatter_add(
            -1, group, torch.ones_like(columns)
        )
        positions = (sums / sizes.clamp_min(1)).gather(-1, group)
    ranks = torch.empty_like(columns).scatter(-1, order, positions) - (n - 1) / 2
    return ranks.transpose(-1, -2)

"""How two sets of scores relate: statistics of independent halves, many draws at once.

Every function takes tensors [..., train, targets] and reduces the last two axes.
Suffixes 1 and 2 mark independent halves of one estimate: their errors are independent,
so products across halves estimate products of the truth without bias, which is what
keeps slopes and correlations from shrinking with noise.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Scores = Float[Tensor, "*draws train targets"]
Statistic = Float[Tensor, "*draws"]


def errors_in_variables_slope(a: Scores, b1: Scores, b2: Scores) -> Statistic:
    """Return the slope of a on b through the origin, b measured with error.

    (<a, b1> + <a, b2>) / (2 <b1, b2>), pooled over examples and targets. Noise in b
    enters the numerator linearly and the denominator as a product of independent
    errors, so it moves neither on average; a shares no seed with b.

    References:
        Fuller 1987, Measurement error models, section 1.4 (instrumental variables).
    """
    return _dot(a, b1 + b2) / (2 * _dot(b1, b2))


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


def reliability(a: Scores, a1: Scores, a2: Scores) -> Statistic:
    """Return the share of the variance of a, over examples, that is no error."""
    return _covariance(a1, a2) / _covariance(a, a)


def disattenuated_pearson(a1: Scores, a2: Scores, b1: Scores, b2: Scores) -> Statistic:
    """Return the correlation of what a and b estimate, without their errors.

    cov(a, b) / sqrt(cov(a1, a2) cov(b1, b2)); it may exceed 1 by sampling error.

    References:
        Spearman 1904, The proof and measurement of association between two things.
    """
    a, b = (a1 + a2) / 2, (b1 + b2) / 2
    signal = _covariance(a1, a2) * _covariance(b1, b2)
    return _covariance(a, b) / signal.clamp_min(0).sqrt()


def relative_error(a: Scores, b: Scores) -> Statistic:
    """Return |a - b| / |b|, norm-wise over examples, the median over targets."""
    return ((a - b).norm(dim=-2) / b.norm(dim=-2)).median(-1).values


def squared_relative_gap(a1: Scores, a2: Scores, b1: Scores, b2: Scores) -> Statistic:
    """Return |a - b|^2 / |b|^2 pooled over targets, unbiased in the numerator.

    <a1 - b1, a2 - b2> / <b1, b2>; it may fall below 0 by sampling error.
    """
    return _dot(a1 - b1, a2 - b2) / _dot(b1, b2)


def corrected_relative_error(
    a1: Scores, a2: Scores, b1: Scores, b2: Scores
) -> Statistic:
    """Return |a - b| / |b| pooled over targets, the errors' own share taken out."""
    return squared_relative_gap(a1, a2, b1, b2).clamp_min(0).sqrt()


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

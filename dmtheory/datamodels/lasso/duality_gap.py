"""The LASSO's certificate: a bound on how far a solution is from the optimum."""

import torch
from jaxtyping import Float
from torch import Tensor


def duality_gap(
    gram: Float[Tensor, "train train"],
    cross: Float[Tensor, "train targets"],
    squares: Float[Tensor, " targets"],
    coefficients: Float[Tensor, "train targets"],
    l1_penalty: Float[Tensor, " targets"],
) -> Float[Tensor, " targets"]:
    r"""Return the relative duality gap of each target.

    The objective P(b) = |y - Xb|^2/m + lambda |b|_1 is above its minimum by at most
    P(b) - D(u) for any u with |X'u|_inf <= m lambda/2, where
    D(u) = (2 u'y - |u|^2)/m. u is the residual, scaled to be feasible and otherwise to
    make D as large as it can. The gap is relative to P(0) = |y|^2/m.

    Args:
        gram: X'X/m, centred.
        cross: X'Y/m.
        squares: |y|^2/m.
        coefficients: b, a target a column.
        l1_penalty: lambda >= 0, a target.

    Returns:
        Gaps; 0 for outputs that do not vary.

    References:
        Massias, Gramfort and Salmon 2018, section 2.
    """
    gradient = cross - gram @ coefficients
    return gap_at(gradient, cross, squares, coefficients, l1_penalty)


def gap_at(
    gradient: Float[Tensor, "train targets"],
    cross: Float[Tensor, "train targets"],
    squares: Float[Tensor, " targets"],
    coefficients: Float[Tensor, "train targets"],
    l1_penalty: Float[Tensor, " targets"],
) -> Float[Tensor, " targets"]:
    """Return the duality gap where X'(y - Xb)/m is known."""
    fitted = (cross * coefficients).sum(0)
    residual = (squares - fitted - (gradient * coefficients).sum(0)).clamp_min(0.0)
    aligned = squares - fitted
    limit = l1_penalty / 2 / gradient.abs().amax(0)
    scale = torch.where(residual > 0, aligned / residual, 1.0)
    scale = torch.minimum(torch.maximum(scale, -limit), limit)
    # No gradient at all leaves any scale feasible.
    scale = torch.where(limit.isnan(), 1.0, scale)
    primal = residual + l1_penalty * coefficients.abs().sum(0)
    gap = primal - 2 * scale * aligned + scale.square() * residual
    return torch.where(squares > 0, gap / squares, gap).clamp_min(0.0)

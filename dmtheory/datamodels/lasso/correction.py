"""How coefficients should move, by accelerated proximal steps in low precision.

What is iterated is the correction d to coefficients b whose gradient r is known in
float64: min d'Gd/2 - r'd + alpha |b + d|_1. Products with G alone are in low precision.
Their error is relative to d, so that a few rounds of corrections, each from a gradient
computed anew, end as near to the optimum as float64 allows. Iterating b itself would
not: its gradient is a difference of large numbers.

References:
    Beck and Teboulle 2009 (FISTA); O'Donoghue and Candes 2015, section 3.2 (restart).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Product = Callable[[Tensor], Tensor]


def corrections(
    product: Product,
    base: Float[Tensor, "sets members columns"],
    gradient: Float[Tensor, "sets members columns"],
    alpha: Float[Tensor, "#sets #one columns"],
    curvature: Float[Tensor, "#sets #one #one"],
    *,
    steps: int,
) -> Float[Tensor, "sets members columns"]:
    """Return d after some steps, each column with momentum of its own.

    Args:
        product: d to Gd.
        base: b.
        gradient: r = q - Gb.
        alpha: Penalty of each column, of the objective with the factor 1/2.
        curvature: No less than G's largest eigenvalue, a set.
        steps: Products to take.

    Returns:
        Corrections.
    """
    found, ahead = torch.zeros_like(base), torch.zeros_like(base)
    pace = torch.ones_like(base[:, :1])
    reach = alpha / curvature
    for _ in range(steps):
        pulled = base + ahead + (gradient - product(ahead)) / curvature
        new = pulled.sign() * (pulled.abs() - reach).clamp_min(0.0) - base
        move = new - found
        # Momentum that points uphill is given up.
        uphill = ((ahead - new) * move).sum(1, keepdim=True) > 0
        longer = (1 + (1 + 4 * pace.square()).sqrt()) / 2
        momentum = torch.where(uphill, 0.0, (pace - 1) / longer)
        pace = torch.where(uphill, 1.0, longer)
        ahead = new + momentum * move
        found = new
    return found

"""Factors that overwrite what they are made of, and what is solved by them."""

import torch
from jaxtyping import Float
from torch import Tensor

# Entries of right sides solved for together, in float64 1 GiB.
_AT_ONCE = 2**27
_STRIP = 1024


def cholesky_in_place(
    matrix: Float[Tensor, "train train"],
) -> Float[Tensor, "train train"] | None:
    """Return L with L L' the symmetric matrix, which it overwrites.

    Returns:
        The factor; None where the matrix is not positive definite.
    """
    failed = torch.empty((), dtype=torch.int32, device=matrix.device)
    # LAPACK's order of entries is the transpose's: no copy is made of it.
    whole = matrix.mT
    factor, failed = torch.linalg.cholesky_ex(whole, out=(whole, failed))
    return None if failed else factor


def least_pivot(
    factor: Float[Tensor, "train train"], diagonal: Float[Tensor, " train"]
) -> float:
    """Return the least squared pivot over the matrix's own diagonal.

    It is the share of a column that those before it do not explain.
    """
    return float((factor.diagonal().square() / diagonal).min())


def inverse_in_place(factor: Float[Tensor, "train train"]) -> None:
    """Turn a factor L into the inverse of L L'."""
    torch.cholesky_inverse(factor, out=factor)


def solve_by(
    factor: Float[Tensor, "train train"], right: Float[Tensor, "train some"]
) -> Float[Tensor, "train some"]:
    """Solve L L' x = right, without the copy of L that `cholesky_solve` makes."""
    half = torch.linalg.solve_triangular(factor, right, upper=False)
    return torch.linalg.solve_triangular(factor.mT, half, upper=True)


def solve_in_place(
    factor: Float[Tensor, "train train"], right: Float[Tensor, "train targets"]
) -> None:
    """Overwrite the right sides by solutions of L L' x = right, 1 GiB at a time."""
    size = max(_AT_ONCE // len(right), 1)
    for start in range(0, right.shape[1], size):
        part = right[:, start : start + size]
        part.copy_(solve_by(factor, part))


def inverse_trace(factor: Float[Tensor, "train train"]) -> float:
    """Return the trace of (L L')^-1, the sum of squares of L^-1, strip by strip.

    Column j of L^-1 is 0 above row j, so each strip is solved from there on, a block
    of rows after the other: a solver would copy its part of L.
    """
    n, total = len(factor), 0.0
    for start in range(0, n, _STRIP):
        part = torch.eye(n - start, min(_STRIP, n - start)).to(factor)
        for first in range(start, n, _STRIP):
            last = first + _STRIP
            corner = factor[first:last, first:last]
            rows = part[first - start : last - start]
            rows.copy_(torch.linalg.solve_triangular(corner, rows, upper=False))
            below = factor[last:, first:last]
            part[last - start :].addmm_(below, rows, alpha=-1)
        total += float(part.square().sum())
    return total

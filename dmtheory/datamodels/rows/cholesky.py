"""Factors that overwrite what they are made of."""

import torch
from jaxtyping import Float
from torch import Tensor


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

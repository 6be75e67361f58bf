"""Pseudo-inverses of curvatures whose features are in any units."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Matrices = Float[Tensor, "models features features"]

# Eigenvalues of a curvature with a diagonal of ones, relative to the largest, that
# count as zero.
_ZERO = 1e-12


def pseudo_inverse(curvature: Matrices) -> Matrices:
    """Return the Moore-Penrose inverse of every positive semidefinite matrix.

    The rank is that of the matrix with a diagonal of ones, so that units of features
    do not make a matrix singular. That matrix's inverse gives a solution; where the
    matrix is singular, taking off its part in the null space gives the one of minimum
    norm in the original units.

    Args:
        curvature: One symmetric matrix a model.

    Returns:
        One inverse a model.
    """
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    scales = torch.where(diagonal > 0, diagonal.rsqrt(), 1.0)[:, :, None]
    values, vectors = torch.linalg.eigh(scales * curvature * scales.mT)
    null = values <= _ZERO * values[:, -1:]
    shares = torch.where(null, 0.0, 1 / values.masked_fill(null, 1.0))
    inverse = scales * ((vectors * shares[:, None, :]) @ vectors.mT) * scales.mT
    singular = null.any(1)
    if not bool(singular.any()):
        return inverse
    projector = _off_null_space(scales * vectors, null)
    least = projector @ inverse @ projector
    return torch.where(singular[:, None, None], least, inverse)


def _off_null_space(
    vectors: Matrices, null: Bool[Tensor, "models features"]
) -> Matrices:
    """Return I - Q Q' with Q an orthonormal basis of the null columns.

    Null columns come first, as eigenvalues ascend: so do the columns of Q.
    """
    basis = torch.linalg.qr(vectors * null[:, None, :]).Q * null[:, None, :]
    one = torch.eye(vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
    return one - basis @ basis.mT

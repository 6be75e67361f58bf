"""Ridge coefficients with their certificate alone, for sizes where more is too much."""

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.datamodels.estimators.linear_fit import (
    Certificate,
    LinearFit,
    relative_residual,
)
from dmtheory.datamodels.estimators.standard_errors import add_scores, residual_rows
from dmtheory.datamodels.rows.checks import check_columns
from dmtheory.datamodels.rows.cholesky import (
    cholesky_in_place,
    inverse_trace,
    least_pivot,
    solve_in_place,
)
from dmtheory.datamodels.rows.kernel import (
    all_outputs,
    centre_kernel,
    kernel_of,
    mean_rows,
)
from dmtheory.datamodels.rows.moments import (
    Columns,
    centred_chunk,
    columns_of,
    intercept_of,
    moments_of,
)
from dmtheory.datamodels.rows.sample import Sample

_RESIDUAL = 1e-8
# A matrix whose factor has smaller squared pivots, over its diagonal, is singular.
LEAST_PIVOT = 1e-10


def solve_one_penalty(sample: Sample, l2_penalty: float) -> LinearFit | None:
    """Fit one penalty by one Cholesky factor, of columns or rows, whichever are fewer.

    beta = (X'X + m lambda)^-1 X'Y = X'(X X' + m lambda)^-1 Y.

    Returns:
        The fit; None where the matrix is singular but for rounding.

    Raises:
        ValueError: If columns of masks are constant or equal.
    """
    by = _by_rows if sample.n_blocks < sample.n_train else _by_columns
    found = by(sample, l2_penalty)
    if found is None:
        return None
    columns, coefficients, cross_size, used = found
    penalty = torch.full_like(cross_size, l2_penalty)
    return fit_without_law(
        sample,
        columns,
        coefficients,
        penalty,
        used=torch.full_like(penalty, used),
        cross_size=cross_size,
    )


def fit_without_law(
    sample: Sample,
    columns: Columns,
    coefficients: Float[Tensor, "train targets"],
    penalty: Float[Tensor, " targets"],
    *,
    used: Float[Tensor, " targets"],
    cross_size: Float[Tensor, " targets"],
) -> LinearFit:
    """Add the intercept and, from one more pass over the rows, the certificate.

    Args:
        sample: The rows.
        columns: Their counts and means.
        coefficients: beta.
        penalty: lambda, a target.
        used: tr H.
        cross_size: Largest entry of X'Y, a target.

    Returns:
        The fit.
    """
    rest, squares = torch.zeros_like(coefficients), torch.zeros_like(penalty)
    for rows in residual_rows(sample, columns, coefficients):
        add_scores(rest, rows)
        squares += torch.linalg.vector_norm(rows.residuals, dim=(0, 1)).square()
    rest.addcmul_(coefficients, columns.n_blocks * penalty, value=-1)
    return LinearFit(
        coefficients=coefficients,
        intercept=intercept_of(sample, columns, coefficients),
        stderr=None,
        units=None,
        degrees_of_freedom=None,
        effective_parameters=used + float(sample.has_mean),
        penalty=penalty,
        certificate=Certificate(
            kind="residual",
            value=relative_residual(rest, cross_size, columns, squares, sample.shift),
            tolerance=_RESIDUAL,
        ),
    )


_Solved = tuple[Columns, Tensor, Tensor, float]


def _by_columns(sample: Sample, l2_penalty: float) -> _Solved | None:
    """Return columns, coefficients, sizes of X'Y and tr H, from the Gram matrix."""
    centred = moments_of(sample).centred()
    columns, cross = centred.columns, centred.cross
    check_columns(columns)
    ridge = columns.n_blocks * l2_penalty
    size = cross.abs().amax(0)
    factor = _factor(centred.gram, ridge)
    if factor is None:
        return None
    used = len(factor) - ridge * inverse_trace(factor)
    solve_in_place(factor, cross)
    # Rounding may leave something along directions in which weights never vary.
    null = sample.null_directions
    cross -= null.T @ (null @ cross)
    return columns, cross, size, used


def _by_rows(sample: Sample, l2_penalty: float) -> _Solved | None:
    """Return the same from the kernel of the rows."""
    columns = columns_of(sample)
    check_columns(columns)
    ridge = columns.n_blocks * l2_penalty
    kernel = kernel_of(sample, columns)
    kernel = centre_kernel(kernel, mean_rows(sample, columns), columns)
    factor = _factor(kernel, ridge)
    if factor is None:
        return None
    used = len(factor) - ridge * inverse_trace(factor)
    y = all_outputs(sample, columns)
    size = _combined(sample, columns, y).abs().amax(0)
    solve_in_place(factor, y)
    return columns, _combined(sample, columns, y), size, used


def _combined(
    sample: Sample, columns: Columns, right: Float[Tensor, "rows targets"]
) -> Float[Tensor, "train targets"]:
    """Return X' times what is given, X centred."""
    total, start = right.new_zeros(sample.n_train, right.shape[1]), 0
    for chunk in sample.chunks():
        x = centred_chunk(chunk, sample, columns).x.flatten(0, 1)
        total.addmm_(x.T, right[start : start + len(x)])
        start += len(x)
    return total


def _factor(
    matrix: Float[Tensor, "rows rows"], ridge: float
) -> Float[Tensor, "rows rows"] | None:
    """Return the factor of the matrix plus ridge, which overwrites it."""
    diagonal = matrix.diagonal().add_(ridge).clone()
    factor = cholesky_in_place(matrix)
    if factor is None or least_pivot(factor, diagonal) < LEAST_PIVOT:
        return None
    return factor

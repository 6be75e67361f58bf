"""Ordinary least squares of outputs on masks, for many targets at once."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.datamodels.estimators.linear_fit import (
    Certificate,
    LinearFit,
    relative_residual,
)
from dmtheory.datamodels.estimators.standard_errors import (
    Units,
    add_scores,
    check_errors,
    clustered_squares,
    residual_rows,
)
from dmtheory.datamodels.rows.checks import check_columns, check_freedom
from dmtheory.datamodels.rows.cholesky import (
    cholesky_in_place,
    inverse_in_place,
    least_pivot,
    solve_by,
)
from dmtheory.datamodels.rows.moments import (
    Centred,
    Columns,
    centred_chunk,
    intercept_of,
    moments_of,
)
from dmtheory.datamodels.rows.sample import Sample

# A duplicated column leaves a pivot at rounding level, or a failure.
_LEAST_PIVOT = 1e-10
_RESIDUAL = 1e-8


@dataclass(frozen=True, slots=True)
class OLS:
    r"""Ordinary least squares with an intercept.

    beta = (X_c' X_c)^-1 X_c' Y, X_c the column-centred masks. Consistent for beta(p),
    with bias O(1/m) since higher-degree residuals depend on the masks.

    Pairs and partitions are regressed in contrasts within a block (see `sample`): half
    the difference of each complementary pair on x - 1/2 without intercept, so that
    even-degree terms and the pair's common seed effect cancel, with M - N degrees of
    freedom for M pairs. Where the blocks' means tell something too (antithetic pairs),
    both are regressed together, and the two have a variance each, estimated without
    bias from the residuals if a block's errors are equally correlated.

    Attributes:
        errors: "homoscedastic" standard errors, or "robust" ones (HC1; clustered by
            pair or block). Below five models an example prefer the first.

    References:
        MacKinnon and White 1985 for HC1.
    """

    errors: str = "homoscedastic"

    def __post_init__(self) -> None:
        check_errors(self.errors)

    def fit(self, sample: Sample) -> LinearFit:
        """Regress outputs on weights.

        Args:
            sample: Rows to regress. Along directions in which the design never varies
                the solution has minimum norm, so none of it lies there.

        Returns:
            Coefficients with their sampling law.

        Raises:
            ValueError: If there are too few models, or a column of weights is
                constant or depends linearly on the others.
        """
        # Nothing keeps the moments: a Gram matrix may be most of a device's memory.
        centred = moments_of(sample).centred()
        columns = centred.columns
        rank = sample.n_train - len(sample.null_directions)
        freedom = columns.n_rows - rank - int(sample.has_mean)
        check_freedom(freedom, columns.n_blocks, *_needed(columns, sample, rank))
        check_columns(columns)
        size = centred.cross.abs().amax(0)
        coefficients, inverse = _solved(centred, sample.null_directions)
        del centred
        stderr, units, rest, squares = self._law(
            sample, columns, coefficients, inverse, freedom
        )
        return LinearFit(
            coefficients=coefficients,
            intercept=intercept_of(sample, columns, coefficients),
            stderr=stderr,
            units=units,
            degrees_of_freedom=freedom,
            effective_parameters=torch.full_like(
                columns.output_sum, float(columns.n_rows - freedom)
            ),
            certificate=Certificate(
                kind="residual",
                value=relative_residual(rest, size, columns, squares, sample.shift),
                tolerance=_RESIDUAL,
            ),
        )

    def _law(
        self,
        sample: Sample,
        columns: Columns,
        coefficients: Tensor,
        inverse: Tensor,
        freedom: int,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Return standard errors, units, X'e and |e|^2, from one more pass over rows.

        A unit is beta + B c A^-1 X_b'e_b, b one of B runs of blocks; the mean is beta
        since X'e = 0. Residuals are smaller than errors by the factor that c^2 = rows
        over freedom undoes (the HC1 correction): then split halves have the covariance
        of two independent fits on average.
        """
        units = Units(columns.n_blocks, coefficients.numel())
        squares = torch.zeros(2, coefficients.shape[1]).to(coefficients)
        rest = torch.zeros_like(coefficients)
        robust = torch.zeros_like(rest) if self.errors == "robust" else None
        for rows in residual_rows(sample, columns, coefficients):
            units.add(rows)
            add_scores(rest, rows)
            square = rows.residuals.square().sum(0)
            mean = square[0] if sample.has_mean else torch.zeros_like(square[0])
            squares += torch.stack([mean, square.sum(0) - mean])
            if robust is not None:
                robust += clustered_squares(rows.x @ inverse, rows.residuals)
        inflation = columns.n_rows / freedom
        if robust is not None:
            variance = robust * inflation
        else:
            variance = _homoscedastic(sample, columns, inverse, squares, freedom)
        found = None
        if units.wanted:
            found = coefficients + units.n * inflation**0.5 * (inverse @ units.sums())
        return variance.clamp_min_(0.0).sqrt_(), found, rest, squares.sum(0)


def _homoscedastic(
    sample: Sample,
    columns: Columns,
    inverse: Float[Tensor, "train train"],
    squares: Float[Tensor, "two targets"],
    freedom: int,
) -> Float[Tensor, "train targets"]:
    """Return variances of coefficients where rows of a kind have one variance."""
    if columns.n_means in (0, columns.n_rows):
        return inverse.diagonal()[:, None] * (squares.sum(0) / freedom)
    # Means and contrasts: E of each sum of squares is linear in the two variances.
    means = _gram_of_means(sample, columns)
    share = inverse @ means
    trace, square = share.diagonal().sum(), (share * share.T).sum()
    n_train, n_contrasts = sample.n_train, columns.n_rows - columns.n_means
    cross = trace - square
    system = torch.stack([
        torch.stack([columns.n_means - 1 - 2 * trace + square, cross]),
        torch.stack([cross, n_contrasts - n_train + square]),
    ])
    variances = torch.linalg.solve(system, squares).clamp_min(0.0)
    of_means = (share @ inverse).diagonal()
    spreads = torch.stack([of_means, inverse.diagonal() - of_means], dim=1)
    return spreads @ variances


def _gram_of_means(sample: Sample, columns: Columns) -> Float[Tensor, "train train"]:
    total = torch.zeros(sample.n_train, sample.n_train).to(columns.squares)
    for chunk in sample.chunks():
        centred = centred_chunk(chunk, sample, columns)
        total += centred.x[:, 0].T @ centred.x[:, 0]
    return total


def _solved(centred: Centred, null: Tensor) -> tuple[Tensor, Tensor]:
    """Solve the normal equations.

    The cross products have no part along null directions, so curvature may be added
    there: it makes the matrix regular and leaves the minimum-norm solution as it is.
    The factor overwrites the Gram matrix, which may be most of a device's memory.

    Returns:
        Coefficients, and the inverse of the Gram matrix off the null directions.

    Raises:
        ValueError: If columns depend linearly beyond the null directions.
    """
    gram, diagonal = centred.gram, centred.gram.diagonal().clone()
    scale = diagonal.mean()
    if len(null):
        gram.addmm_(null.T, null, alpha=float(scale))
    factor = cholesky_in_place(gram)
    if factor is None or least_pivot(factor, diagonal) < _LEAST_PIVOT:
        raise ValueError(
            "masks must have linearly independent columns, got a column that depends "
            "on others (duplicates, or rows of one fixed size): merge such examples "
            "into one group, or state the design that fixes the size"
        )
    coefficients = solve_by(factor, centred.cross)
    inverse_in_place(factor)
    inverse = factor
    if len(null):
        inverse.addmm_(null.T, null, alpha=-1 / float(scale))
    return coefficients, inverse


def _needed(columns: Columns, sample: Sample, rank: int) -> tuple[int, str]:
    """Return how many blocks give one degree of freedom, and what they are called."""
    rows_a_block = columns.n_rows // max(columns.n_blocks, 1)
    needed = -(-(rank + 1 + int(sample.has_mean)) // max(rows_a_block, 1))
    names = {(1, True): "models", (1, False): "complementary pairs"}
    return needed, names.get((rows_a_block, sample.has_mean), "pairs or blocks")

"""Difference of means: outputs with an example less outputs without it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.datamodels.estimators.linear_fit import LinearFit
from dmtheory.datamodels.estimators.standard_errors import (
    Rows,
    Units,
    clustered_squares,
)
from dmtheory.datamodels.rows.checks import check_columns
from dmtheory.datamodels.rows.moments import (
    Columns,
    centred_chunk,
    columns_of,
    intercept_of,
)
from dmtheory.datamodels.rows.sample import Chunk, Sample


@dataclass(frozen=True, slots=True)
class DifferenceOfMeans:
    r"""Sample covariance with each mask over the variance that the design states.

    beta_i = (1/(m-1)) sum_k (x_ki - x_i)(y_k - y)/(p(1-p)). Unbiased at any m, since p
    is known; the difference of the two groups' means itself divides by the sample's own
    variance. Under a fixed size a = k(N-k)/(N(N-1)) takes the place of p(1-p), and
    coefficients sum to 0. Works with fewer models than examples, one example at a time:
    the others' effects are noise to it, so its variance is that of OLS at many models
    plus their part, (sigma^2 + L)/(m p(1-p)).

    Pairs and partitions are taken in contrasts (see `sample`), a block's contributions
    together, so standard errors need no assumption on what a block shares.

    References:
        Ilyas et al. 2022, section 5; theory page, section 4.
    """

    def fit(self, sample: Sample) -> LinearFit:
        """Average products of outputs and masks.

        Returns:
            Coefficients with standard errors from the spread of the blocks.

        Raises:
            TypeError: If the design's variance is unknown.
            ValueError: If a column is constant, or there are fewer than three blocks.
        """
        if sample.variances is None:
            raise TypeError(
                "sample must state the variances of its design for a difference of "
                "means, got None"
            )
        columns = columns_of(sample)
        check_columns(columns)
        if columns.n_blocks < 3:
            raise ValueError(
                "outputs must come from at least 3 models or pairs for a difference "
                f"of means, got {columns.n_blocks}: train more"
            )
        scale = 1.0 / sample.variances[:, None]
        coefficients, raw, units = _products(sample, columns)
        coefficients, raw = coefficients * scale, raw * scale.square()
        n = columns.n_blocks
        variance = (raw - n * coefficients.square()).clamp_min(0.0) / (n - 1) / n
        return LinearFit(
            coefficients=coefficients,
            intercept=intercept_of(sample, columns, coefficients),
            stderr=variance.sqrt(),
            units=_units(units, coefficients, scale, n),
            degrees_of_freedom=n - 1,
            effective_parameters=torch.full_like(
                columns.output_sum,
                float(sample.n_train - len(sample.null_directions) + sample.has_mean),
            ),
        )


def _products(
    sample: Sample, columns: Columns
) -> tuple[Float[Tensor, "train targets"], Float[Tensor, "train targets"], Units]:
    """Return mean products, sums of squares of blocks' products, and runs of them."""
    shape = sample.n_train, len(sample.shift)
    total = columns.squares.new_zeros(shape)
    squares = columns.squares.new_zeros(shape)
    units = Units(columns.n_blocks, total.numel())
    for chunk in sample.chunks():
        rows = _unbiased(centred_chunk(chunk, sample, columns), sample, columns)
        units.add(rows)
        total += torch.einsum("brj,brt->jt", rows.x, rows.residuals)
        squares += clustered_squares(rows.x, rows.residuals)
    return total / columns.n_blocks, squares, units


def _unbiased(chunk: Chunk, sample: Sample, columns: Columns) -> Rows:
    """Weight the block means by n/(n-1): their own mean was subtracted."""
    y = chunk.y
    if sample.has_mean:
        y = y.clone()
        y[:, 0] *= columns.n_blocks / (columns.n_blocks - 1)
    return Rows(chunk.x, y)


def _units(
    units: Units, coefficients: Tensor, scale: Tensor, n_blocks: int
) -> Float[Tensor, "units train targets"] | None:
    """Return what each run of blocks adds; the mean of all is the coefficients."""
    if not units.wanted:
        return None
    return units.n / n_blocks * scale * units.sums()

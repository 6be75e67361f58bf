"""One eigendecomposition for all targets and all ridge penalties."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.datamodels.rows.moments import (
    Columns,
    centred_chunk,
    columns_of,
    moments_of,
)
from dmtheory.datamodels.rows.sample import Sample

# Eigenvalues below this share of the largest belong to null directions.
_RANK = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRows:
    """Rows of a chunk in the eigenbasis.

    Attributes:
        scores: XV.
        y: Outputs, centred as X is.
        leverage: What the intercept adds to each row's leverage.
    """

    scores: Float[Tensor, "rows rank"]
    y: Float[Tensor, "rows targets"]
    leverage: Float[Tensor, "rows 1"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrum:
    """Centred rows X in the basis of their Gram matrix, X'X = V diag(values) V'.

    Attributes:
        sample: The rows.
        columns: Their counts and means.
        values: Eigenvalues that are not 0.
        basis: V, orthonormal columns.
        turned: V'X'Y.
        cross_size: Largest entry of X'Y, a target: what residuals are relative to.
        scores: XV, where it was found on the way; else it is recomputed in chunks.
    """

    sample: Sample
    columns: Columns
    values: Float[Tensor, " rank"]
    basis: Float[Tensor, "train rank"]
    turned: Float[Tensor, "rank targets"]
    cross_size: Float[Tensor, " targets"]
    scores: Float[Tensor, "rows rank"] | None = None

    @property
    def scale(self) -> float:
        """Mean variance of a weight, the unit in which penalties are laid out."""
        return float(self.values.sum()) / self.columns.n_blocks / self.sample.n_train

    def shrunk(self, penalty: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return 1/(values + n penalty), a penalty a column."""
        return 1.0 / (self.values[:, None] + self.columns.n_blocks * penalty)

    def rows(self) -> Iterator[ScoredRows]:
        """Go over the rows in the eigenbasis."""
        for chunk in self.sample.chunks():
            centred = centred_chunk(chunk, self.sample, self.columns)
            leverage = chunk.x.new_zeros(chunk.x.shape[:2])
            if self.sample.has_mean:
                leverage[:, 0] = 1.0 / self.columns.n_means
            x, scores = centred.x.flatten(0, 1), self.scores
            if scores is None or len(scores) != len(x):
                scores = x @ self.basis
            yield ScoredRows(scores, centred.y.flatten(0, 1), leverage.reshape(-1, 1))

    def freedom(
        self, share: Float[Tensor, "rank targets"]
    ) -> tuple[Float[Tensor, " targets"], Float[Tensor, " targets"]]:
        """Return tr M and (tr M)^2/tr M^2, M = (I - H)^2 of the rows.

        The first is what the residuals' squares are to be divided by, the second the
        degrees of freedom of a chi^2 with their variance; both are m - N - 1 for OLS.

        Args:
            share: What the fit takes of each direction, values/(values + m lambda).
        """
        others = self.columns.n_rows - float(self.sample.has_mean) - len(self.values)
        left = (1 - share).square()
        trace, square = left.sum(0) + others, left.square().sum(0) + others
        return trace, trace.square() / square


def spectrum_of(sample: Sample) -> Spectrum:
    """Return the spectrum, from the rows' side where there are fewer rows than columns.

    The Gram matrix of the columns streams; the kernel of the rows needs them in memory.
    """
    columns = columns_of(sample)
    if columns.n_rows < sample.n_train:
        return _from_kernel(sample, columns)
    centred = moments_of(sample).centred()
    values, basis = torch.linalg.eigh(centred.gram)
    kept = values > _RANK * values[-1]
    basis = basis[:, kept]
    return Spectrum(
        sample=sample,
        columns=columns,
        values=values[kept],
        basis=basis,
        turned=basis.T @ centred.cross,
        cross_size=centred.cross.abs().amax(0),
    )


def _from_kernel(sample: Sample, columns: Columns) -> Spectrum:
    """X X' = U diag(values) U' gives V = X'U/sqrt(values)."""
    sample = sample.held()
    rows = centred_chunk(sample.gathered(), sample, columns)
    x, y = rows.x.flatten(0, 1), rows.y.flatten(0, 1)
    values, turn = torch.linalg.eigh(x @ x.T)
    kept = values > _RANK * values[-1]
    values, turn = values[kept], turn[:, kept]
    return Spectrum(
        sample=sample,
        columns=columns,
        values=values,
        basis=x.T @ turn / values.sqrt(),
        turned=values.sqrt()[:, None] * (turn.T @ y),
        cross_size=(x.T @ y).abs().amax(0),
        scores=turn * values.sqrt(),
    )

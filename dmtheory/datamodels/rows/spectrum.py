"""One eigendecomposition for all targets and all ridge penalties."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.datamodels.rows.kernel import centre_kernel, mean_rows
from dmtheory.datamodels.rows.moments import (
    Columns,
    centred_chunk,
    centred_outputs,
    columns_of,
    integer_gram,
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


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """The rows' side of a spectrum, X X' = U diag(values) U'.

    Attributes:
        x: Rows, not centred.
        means: 1 for rows that are centred, the block means, and 0 for the others.
        turn: U.
    """

    x: Float[Tensor, "rows train"]
    means: Float[Tensor, " rows"]
    turn: Float[Tensor, "rows rank"]

    def back(
        self, columns: Columns, combined: Float[Tensor, "rank some"]
    ) -> Float[Tensor, "train some"]:
        """Return X'U times what is given, X centred."""
        turned = self.turn @ combined
        return self.x.T @ turned - torch.outer(columns.x_mean, self.means @ turned)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrum:
    """Centred rows X in the basis of their Gram matrix, X'X = V diag(values) V'.

    Attributes:
        sample: The rows.
        columns: Their counts and means.
        values: Eigenvalues that are not 0.
        turned: V'X'Y.
        kernel: The rows' side, where there are fewer rows than columns.
        held: V, where it is in memory.
    """

    sample: Sample
    columns: Columns
    values: Float[Tensor, " rank"]
    turned: Float[Tensor, "rank targets"]
    kernel: Kernel | None = None
    held: Float[Tensor, "train rank"] | None = None

    @property
    def basis(self) -> Float[Tensor, "train rank"]:
        """V, orthonormal columns; made from the kernel's at every call."""
        if self.held is not None:
            return self.held
        assert self.kernel is not None
        scaled = torch.diag(1.0 / self.values.sqrt())
        return self.kernel.back(self.columns, scaled)

    def with_basis(self) -> "Spectrum":
        """Return the same with V in memory, for what needs it more than once."""
        return replace(self, held=self.basis)

    def back(self, combined: Float[Tensor, "rank some"]) -> Float[Tensor, "train some"]:
        """Return V times what is given, without making V."""
        if self.held is not None:
            return self.held @ combined
        assert self.kernel is not None
        return self.kernel.back(self.columns, combined / self.values.sqrt()[:, None])

    @property
    def cross_size(self) -> Float[Tensor, " targets"]:
        """Largest entry of X'Y, a target: what residuals are relative to."""
        return self.back(self.turned).abs().amax(0)

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
            leverage = chunk.x.new_zeros(chunk.x.shape[:2])
            if self.sample.has_mean:
                leverage[:, 0] = 1.0 / self.columns.n_means
            if self.kernel is None:
                centred = centred_chunk(chunk, self.sample, self.columns)
                scores = centred.x.flatten(0, 1) @ self.basis
            else:
                # The kernel's rows are in memory, so they are one chunk.
                scores = self.kernel.turn * self.values.sqrt()
            y = centred_outputs(chunk, self.sample, self.columns)
            yield ScoredRows(scores, y.flatten(0, 1), leverage.reshape(-1, 1))

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
        turned=basis.T @ centred.cross,
        held=basis,
    )


def _from_kernel(sample: Sample, columns: Columns) -> Spectrum:
    """V = X'U/sqrt(values), V'X'Y = sqrt(values) U'Y."""
    sample = sample.held()
    chunk = sample.gathered()
    x, means = chunk.x.flatten(0, 1), mean_rows(sample, columns)
    # The products of rows as they are keep to integers.
    kernel = centre_kernel(integer_gram(x.T), means, columns)
    values, turn = torch.linalg.eigh(kernel)
    kept = values > _RANK * values[-1]
    values, turn = values[kept], turn[:, kept]
    y = centred_outputs(chunk, sample, columns).flatten(0, 1)
    return Spectrum(
        sample=sample,
        columns=columns,
        values=values,
        turned=values.sqrt()[:, None] * (turn.T @ y),
        kernel=Kernel(x, means, turn),
    )

"""Sampling law of linear estimates: variances, robust sums, contributions of blocks."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_choice
from dmtheory.datamodels.rows.moments import Columns, centred_chunk
from dmtheory.datamodels.rows.sample import Sample

ERRORS = ("homoscedastic", "robust")
# A unit is a run of blocks. More than these many add nothing to an interval.
_MAX_UNITS = 200
_MAX_UNIT_ENTRIES = 2**24


def check_errors(errors: str) -> None:
    """Raise ValueError unless errors is "homoscedastic" or "robust"."""
    check_choice(errors, ERRORS, "errors")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Centred rows of a chunk with their residuals.

    Attributes:
        x: Regressors, block means less their mean.
        residuals: y - x beta.
    """

    x: Float[Tensor, "blocks rows train"]
    residuals: Float[Tensor, "blocks rows targets"]


def residual_rows(
    sample: Sample, columns: Columns, coefficients: Float[Tensor, "train targets"]
) -> Iterator[Rows]:
    """Go over the rows once more, now with residuals."""
    for chunk in sample.chunks():
        centred = centred_chunk(chunk, sample, columns)
        yield Rows(centred.x, centred.y - centred.x @ coefficients)


def add_scores(total: Float[Tensor, "train targets"], rows: Rows) -> None:
    """Add x'e of a chunk in place."""
    total.addmm_(rows.x.flatten(0, 1).T, rows.residuals.flatten(0, 1))


def clustered_squares(
    left: Float[Tensor, "blocks rows train"],
    right: Float[Tensor, "blocks rows targets"],
) -> Float[Tensor, "train targets"]:
    """Return sum over blocks of (sum over its rows of left · right)^2."""
    n_rows = left.shape[1]
    total = left.new_zeros(left.shape[2], right.shape[2])
    for a in range(n_rows):
        for b in range(a + 1):
            product = (left[:, a] * left[:, b]).T @ (right[:, a] * right[:, b])
            total += product if a == b else 2 * product
    return total


class Units:
    """Sums of scores over runs of consecutive blocks.

    The runs are independent, so half-samples and bootstrap draws of them carry the
    sampling law of an estimate that is linear in the scores.
    """

    def __init__(self, n_blocks: int, n_entries: int) -> None:
        """Prepare at most 200 runs, fewer where their sums would not fit in memory."""
        self.n = min(_MAX_UNITS, n_blocks // 2, _MAX_UNIT_ENTRIES // n_entries)
        if self.wanted:
            runs = torch.arange(n_blocks).tensor_split(self.n)
            sizes = torch.tensor([len(run) for run in runs])
            self._unit = torch.arange(self.n).repeat_interleave(sizes)
            self.sizes = sizes
        self._next = 0
        self._sums: Tensor | None = None

    @property
    def wanted(self) -> bool:
        """Whether there are enough blocks, and memory, for any."""
        return self.n >= 2

    def add(self, rows: Rows) -> None:
        """Add the scores x'e of a chunk, in the order of the sample."""
        if not self.wanted:
            return
        unit = self._unit[self._next : self._next + len(rows.x)]
        self._next += len(rows.x)
        if self._sums is None:
            self._sums = rows.x.new_zeros(
                self.n, rows.x.shape[2], rows.residuals.shape[2]
            )
        for number in unit.unique().tolist():
            mine = unit == number
            x, e = rows.x[mine].flatten(0, 1), rows.residuals[mine].flatten(0, 1)
            self._sums[number] += x.T @ e

    def sums(self) -> Float[Tensor, "units train targets"]:
        """Return the sum of each run."""
        assert self._sums is not None
        return self._sums

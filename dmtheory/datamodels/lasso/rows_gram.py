"""Products with a Gram matrix that is never made: X'(X b), for fewer rows than columns.

A product takes 4 m N operations a target instead of 2 N^2: cheaper below N/2 rows, and
m N bytes instead of 8 N^2: 0.5 instead of 20 GB at 10,000 rows of 50,000 columns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Num
from torch import Tensor

from dmtheory.datamodels.lasso.gram import (
    MARGIN,
    TINY,
    largest_eigenvalue,
    sums_bfloat16,
)
from dmtheory.datamodels.lasso.scaling import varies
from dmtheory.datamodels.lasso.working_sets import WorkingSets
from dmtheory.datamodels.rows.integers import doubled_integers
from dmtheory.datamodels.rows.moments import Columns
from dmtheory.datamodels.rows.sample import Sample

# Entries of rows that are made float64 at a time, 128 MiB, and up to which all rows are
# kept so, 1 GiB: ill-conditioned problems end in that precision.
_AT_ONCE, _KEPT = 2**24, 2**27


class RowsGram:
    """G = (X - r c')'(X - r c')/n by its rows: r marks those that are centred.

    Takes the place of `Gram`. Rows are kept as they are, in 8 bits where twice an entry
    is a small integer, and in the precision of fast products.

    Attributes:
        precisions: Types of fast products, from the fastest on; float64 is the last.
    """

    def __init__(
        self,
        twice: Num[Tensor, "rows train"],
        marks: Float[Tensor, " rows"],
        centre: Float[Tensor, " train"],
        n: int,
    ) -> None:
        """Take the rows.

        Args:
            twice: 2X.
            marks: r: 1 for rows that are centred, 0 for others.
            centre: c.
            n: What sums over rows are divided by.
        """
        self.n_rows, self.n_train = twice.shape
        self.marks, self.centre, self.n = marks, centre, n
        self._twice = twice
        self.precisions = [torch.float32, torch.float64]
        if sums_bfloat16(twice.device):
            self.precisions.insert(0, torch.bfloat16)
        self._copies: dict[torch.dtype, Tensor] = {}
        self._whole: Tensor | None = None
        self._largest: float | None = None

    @property
    def largest_eigenvalue(self) -> float:
        """An upper bound in practice: what power iterations find, and 5 % more."""
        if self._largest is None:
            found = largest_eigenvalue(self.times, self.centre)
            self._largest = max(MARGIN * found, TINY)
        return self._largest

    def times(
        self, coefficients: Float[Tensor, "train targets"]
    ) -> Float[Tensor, "train targets"]:
        """Return the product in float64, some rows at a time."""
        total = torch.zeros_like(coefficients)
        level, through = self.centre @ coefficients, torch.zeros_like(coefficients[0])
        for part in self._parts():
            rows, marks = self._exact(part), self.marks[part]
            images = (rows @ coefficients).addr_(marks, level, alpha=-1)
            total.addmm_(rows.T, images)
            through += marks @ images
        return total.addr_(self.centre, through, alpha=-1).div_(self.n)

    def cross(
        self, outputs: Float[Tensor, "rows targets"]
    ) -> Float[Tensor, "train targets"]:
        """Return (X - r c')'Y/n in float64."""
        total = outputs.new_zeros(self.n_train, outputs.shape[1])
        for part in self._parts():
            total.addmm_(self._exact(part).T, outputs[part])
        through = self.marks @ outputs
        return total.addr_(self.centre, through, alpha=-1).div_(self.n)

    def product(self, precision: torch.dtype) -> Callable[[Tensor], Tensor]:
        """Return the product with [1, train, targets], fast in a lower precision."""
        if precision == torch.float64:
            return lambda moves: self.times(moves[0])[None]
        twice = self._copy(precision)

        def fast(moves: Tensor) -> Tensor:
            level = self.centre @ moves[0]
            images = _summed(twice, moves[0]) / 2
            images = images.addr_(self.marks, level, alpha=-1)
            found = _summed(twice.T, images) / 2
            found.addr_(self.centre, self.marks @ images, alpha=-1)
            return found.div_(self.n)[None]

        return fast

    def within(self, sets: WorkingSets, precision: torch.dtype) -> Tensor:
        """Return each set's part of G; rows and columns outside are 0."""
        n_sets, width = sets.members.shape
        found = torch.empty(
            n_sets, width, width, dtype=precision, device=self.centre.device
        )
        for place, (members, inside) in enumerate(
            zip(sets.members, sets.inside, strict=True)
        ):
            columns = self._twice[:, members].double() / 2
            columns.addr_(self.marks, self.centre[members], alpha=-1)
            columns *= inside
            found[place] = (columns.T @ columns / self.n).to(precision)
        return found

    def _parts(self) -> list[slice]:
        size = max(_AT_ONCE // max(self.n_train, 1), 1)
        return [slice(k, k + size) for k in range(0, self.n_rows, size)]

    def _exact(self, part: slice) -> Float[Tensor, "some train"]:
        if self._twice.numel() > _KEPT:
            return self._twice[part].double() / 2
        if self._whole is None:
            self._whole = self._twice.double() / 2
        return self._whole[part]

    def _copy(self, precision: torch.dtype) -> Tensor:
        """Return 2X, exact in each precision for small integers."""
        if precision not in self._copies:
            self._copies[precision] = self._twice.to(precision)
        return self._copies[precision]


def _summed(matrix: Tensor, vectors: Tensor) -> Tensor:
    """Multiply in the matrix's precision, sums in 32 bits, and return float64."""
    low = vectors.to(matrix.dtype)
    if matrix.dtype == torch.bfloat16:
        return torch.mm(matrix, low, out_dtype=torch.float32).double()
    return (matrix @ low).double()


def _twice(rows: Float[Tensor, "rows train"]) -> Num[Tensor, "rows train"]:
    """Return 2X, in 8 bits where that is exact."""
    small = doubled_integers(rows)
    if small is None:
        return 2 * rows
    # Without the zeros at its sides, which would be rows and columns of their own.
    return small.values[: len(rows), : rows.shape[1]].contiguous()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowMoments:
    """What the LASSO's objective is written in, its Gram matrix by rows.

    Attributes:
        columns: Counts and means.
        gram: X'X/n, centred.
        cross: X'Y/n.
        output_squares: Diagonal of Y'Y/n.
    """

    columns: Columns
    gram: RowsGram
    cross: Float[Tensor, "train targets"]
    output_squares: Float[Tensor, " targets"]


def row_moments(
    sample: Sample, columns: Columns, about: Columns, *, flat_is_zero: bool = True
) -> RowMoments:
    """Return a sample's moments per block, about some rows' means.

    Args:
        sample: The rows.
        columns: Their counts.
        about: Counts of the rows whose means are subtracted.
        flat_is_zero: Whether outputs that vary by rounding alone are made constant.
    """
    rows, outputs, marks = [], [], []
    for chunk in sample.chunks():
        y = chunk.y.clone()
        mark = torch.zeros_like(chunk.y[:, :, 0])
        if sample.has_mean:
            y[:, 0] -= about.y_mean
            mark[:, 0] = 1.0
        rows.append(_twice(chunk.x.flatten(0, 1)))
        outputs.append(y.flatten(0, 1))
        marks.append(mark.flatten())
    y, n = torch.cat(outputs), columns.n_blocks
    gram = RowsGram(torch.cat(rows), torch.cat(marks), about.x_mean, n)
    squares = y.square().sum(0) / n
    cross = gram.cross(y)
    if flat_is_zero:
        kept = varies(squares, sample.shift)
        cross, squares = cross * kept, squares * kept
    return RowMoments(columns=columns, gram=gram, cross=cross, output_squares=squares)

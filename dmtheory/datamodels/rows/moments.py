"""Sufficient statistics of a regression: they stream, and add up over shards."""

from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.datamodels.rows.integers import (
    Integers,
    add_split_product,
    doubled_integers,
    product,
    sums_integers,
)
from dmtheory.datamodels.rows.sample import Chunk, Sample
from dmtheory.designs.seeds import Purpose, random_words

# Columns multiplied at a time, a multiple of 8.
_STRIP = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """What tells whether the columns of a regression are of use.

    Attributes:
        n_blocks: Blocks of models.
        n_rows: Rows they make.
        n_means: Rows that are block means, of which each has an intercept.
        mean_sum: Sum of those rows.
        output_sum: Sum of the blocks' mean outputs.
        squares: Sums of squares of the columns.
        prints: Two sums of each column with random integers, exact in float64 for
            0/1 masks, so that equal columns have equal prints.
    """

    n_blocks: int
    n_rows: int
    n_means: int
    mean_sum: Float[Tensor, " train"]
    output_sum: Float[Tensor, " targets"]
    squares: Float[Tensor, " train"]
    prints: Float[Tensor, "two train"]

    def __add__(self, other: "Columns") -> "Columns":
        return Columns(
            n_blocks=self.n_blocks + other.n_blocks,
            n_rows=self.n_rows + other.n_rows,
            n_means=self.n_means + other.n_means,
            mean_sum=self.mean_sum + other.mean_sum,
            output_sum=self.output_sum + other.output_sum,
            squares=self.squares + other.squares,
            prints=self.prints + other.prints,
        )

    def negative(self) -> "Columns":
        """Return columns that take away what these add."""
        return Columns(
            n_blocks=-self.n_blocks,
            n_rows=-self.n_rows,
            n_means=-self.n_means,
            mean_sum=-self.mean_sum,
            output_sum=-self.output_sum,
            squares=-self.squares,
            prints=-self.prints,
        )

    @property
    def x_mean(self) -> Float[Tensor, " train"]:
        """Mean of the rows with an intercept; 0 where there are none."""
        return self.mean_sum / max(self.n_means, 1)

    @property
    def y_mean(self) -> Float[Tensor, " targets"]:
        """Mean output, less the sample's shift."""
        return self.output_sum / max(self.n_blocks, 1)

    @property
    def centred_squares(self) -> Float[Tensor, " train"]:
        """Sums of squares about the mean."""
        return self.squares - self.n_means * self.x_mean.square()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Gram matrix and cross products of uncentred rows.

    Attributes:
        columns: Counts, sums and checks.
        gram: X'X; exact where entries are multiples of 1/2.
        cross: X'Y.
        output_squares: Sums of squares of the outputs' rows.
    """

    columns: Columns
    gram: Float[Tensor, "train train"]
    cross: Float[Tensor, "train targets"]
    output_squares: Float[Tensor, " targets"]

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            columns=self.columns + other.columns,
            gram=self.gram + other.gram,
            cross=self.cross + other.cross,
            output_squares=self.output_squares + other.output_squares,
        )

    def __sub__(self, part: "Moments") -> "Moments":
        """Return the moments of the rows that are not in a part of these."""
        return Moments(
            columns=self.columns + part.columns.negative(),
            gram=self.gram - part.gram,
            cross=self.cross - part.cross,
            output_squares=self.output_squares - part.output_squares,
        )

    def about(
        self, x: Float[Tensor, " train"], y: Float[Tensor, " targets"]
    ) -> "Centred":
        """Return the moments of rows whose means had x and y subtracted.

        sum (x_k - c)(x_k - c)' = X'X - s c' - c s' + n c c' over the n rows with an
        intercept, s their sum; the others are as they are. These moments are used up:
        a Gram matrix may be most of a device's memory, so it is overwritten.
        """
        n = self.columns.n_means
        if n == 0:
            return Centred(self.columns, self.gram, self.cross, self.output_squares)
        s, t = self.columns.mean_sum, self.columns.output_sum
        return Centred(
            self.columns,
            self.gram.addr_(s, x, alpha=-1).addr_(x, n * x - s),
            self.cross.addr_(s, y, alpha=-1).addr_(x, n * y - t),
            self.output_squares - 2 * t * y + n * y * y,
        )

    def centred(self) -> "Centred":
        """Return the moments about the rows' own means; these are used up."""
        return self.about(self.columns.x_mean, self.columns.y_mean)


@dataclass(frozen=True, slots=True, eq=False)
class Centred:
    """Moments about a centre, summed over rows.

    Attributes:
        columns: Counts, sums and checks, not centred.
        gram: X'X.
        cross: X'Y.
        output_squares: Diagonal of Y'Y.
    """

    columns: Columns
    gram: Float[Tensor, "train train"]
    cross: Float[Tensor, "train targets"]
    output_squares: Float[Tensor, " targets"]


def moments_of(sample: Sample) -> Moments:
    """Return the moments of all rows, one chunk and one Gram matrix in memory."""
    n_train, n_targets = sample.n_train, len(sample.shift)
    gram = sample.shift.new_zeros(n_train, n_train)
    cross = sample.shift.new_zeros(n_train, n_targets)
    squares = torch.zeros_like(sample.shift)
    columns = []
    for chunk in sample.chunks():
        x, y = chunk.x.flatten(0, 1), chunk.y.flatten(0, 1)
        columns.append(_columns(chunk, sample))
        small = doubled_integers(x)
        _add_gram(gram, x, small)
        _add_cross(cross, x, small, y)
        squares += y.square().sum(0)
    return Moments(
        columns=reduce(add, columns), gram=gram, cross=cross, output_squares=squares
    )


def columns_of(sample: Sample) -> Columns:
    """Return counts, sums and checks of all rows, without the Gram matrix."""
    return reduce(add, (_columns(chunk, sample) for chunk in sample.chunks()))


def centred_chunk(chunk: Chunk, sample: Sample, columns: Columns) -> Chunk:
    """Return a chunk whose block means had their mean subtracted."""
    if not sample.has_mean:
        return chunk
    x = chunk.x.clone()
    x[:, 0] -= columns.x_mean
    y = centred_outputs(chunk, sample, columns)
    return Chunk(x=x, y=y, block_means=chunk.block_means, blocks=chunk.blocks)


def centred_outputs(
    chunk: Chunk, sample: Sample, columns: Columns
) -> Float[Tensor, "blocks rows targets"]:
    """Return the outputs of such a chunk."""
    if not sample.has_mean:
        return chunk.y
    y = chunk.y.clone()
    y[:, 0] -= columns.y_mean
    return y


def intercept_of(
    sample: Sample, columns: Columns, coefficients: Float[Tensor, "train targets"]
) -> Float[Tensor, " targets"]:
    """Return the mean output less what the mean weights contribute to it."""
    x_mean = columns.x_mean
    if not sample.has_mean:
        x_mean = torch.full_like(x_mean, sample.level)
    return sample.shift + columns.y_mean - x_mean @ coefficients


def integer_gram(x: Float[Tensor, "rows train"]) -> Float[Tensor, "train train"]:
    """Return X'X, without rounding where 2X is a small integer."""
    total = x.new_zeros(x.shape[1], x.shape[1])
    _add_gram(total, x, doubled_integers(x))
    return total


def _add_gram(
    total: Float[Tensor, "train train"],
    x: Float[Tensor, "rows train"],
    small: Integers | None,
) -> None:
    """Add X'X in place, by integer products where 2X is a small integer.

    These do not round and are several times as fast as float64, which other entries
    take. A strip of columns at a time, below the diagonal, so that no second matrix of
    this size is made.
    """
    n_train = x.shape[1]
    for start in range(0, n_train, _STRIP):
        stop = min(start + _STRIP, n_train)
        if small is None:
            strip = x[:, start:].T @ x[:, start:stop]
        else:
            both = small.columns(start), small.columns(start, start + _STRIP)
            strip = product(*both)[: n_train - start, : stop - start].div_(4)
        total[start:, start:stop] += strip
        total[start:stop, stop:] += strip[stop - start :].T


def _add_cross(
    total: Float[Tensor, "train targets"],
    x: Float[Tensor, "rows train"],
    small: Integers | None,
    y: Float[Tensor, "rows targets"],
) -> None:
    """Add X'Y in place, in float64.

    Where a device has integer matrix units its float64 may be slow or slower: outputs
    are split there into digits of 7 bits, down to float64's own rounding.
    """
    device = x.device
    if small is None or device.type == "cpu" or not sums_integers(device):
        total.addmm_(x.T, y)
    else:
        add_split_product(total, small, y / 2)


def _columns(chunk: Chunk, sample: Sample) -> Columns:
    x = chunk.x.flatten(0, 1)
    return Columns(
        n_blocks=len(chunk.x),
        n_rows=len(x),
        n_means=len(chunk.x) if sample.has_mean else 0,
        mean_sum=chunk.x[:, 0].sum(0) if sample.has_mean else x.new_zeros(x.shape[1]),
        output_sum=chunk.block_means.sum(0),
        squares=x.square().sum(0),
        prints=_marks(chunk) @ x,
    )


def _marks(chunk: Chunk) -> Float[Tensor, "two rows"]:
    """Return two random integers below 2^30 a row, the same wherever a row goes."""
    places = torch.arange(2 * chunk.x.shape[1], device=chunk.blocks.device)
    words = random_words(0, Purpose.SPLIT, chunk.blocks, places) >> 2
    return words.reshape(-1, 2).T.to(chunk.x)

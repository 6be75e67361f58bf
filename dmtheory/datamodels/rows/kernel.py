"""Products of rows with rows, chunk by chunk, for fewer rows than columns."""

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.datamodels.rows.integers import doubled_integers, product
from dmtheory.datamodels.rows.moments import Columns, centred_outputs
from dmtheory.datamodels.rows.sample import Chunk, Sample


def kernel_of(sample: Sample, columns: Columns) -> Float[Tensor, "rows rows"]:
    """Return X X' of uncentred rows.

    Two chunks are in memory at a time, each made anew for every other: masks come from
    seeds in less time than they are multiplied.
    """
    total = columns.squares.new_zeros(columns.n_rows, columns.n_rows)
    first = 0
    for one in sample.chunks():
        second, after = 0, first + one.x.shape[:2].numel()
        for other in sample.chunks():
            until = second + other.x.shape[:2].numel()
            part = _products(one, other)
            total[first:after, second:until] = part
            total[second:until, first:after] = part.T
            if until == after:
                break
            second = until
        first = after
    return total


def centre_kernel(
    kernel: Float[Tensor, "rows rows"], means: Float[Tensor, " rows"], columns: Columns
) -> Float[Tensor, "rows rows"]:
    """Return the products of rows of which some had the mean row subtracted, in place.

    The products of rows as they are keep to integers; rank-one updates centre them.

    Args:
        kernel: X X', which is overwritten.
        means: 1 for rows that are centred, 0 for others.
        columns: Their counts.
    """
    if columns.n_means == 0:
        return kernel
    along = kernel @ means / columns.n_means
    level = means @ along / columns.n_means
    return kernel.addr_(means, level * means - along).addr_(along, means, alpha=-1)


def mean_rows(sample: Sample, columns: Columns) -> Float[Tensor, " rows"]:
    """Return 1 for rows that are block means with an intercept, 0 for others."""
    rows = columns.squares.new_zeros(
        columns.n_blocks, columns.n_rows // columns.n_blocks
    )
    rows[:, 0] = float(sample.has_mean)
    return rows.flatten()


def all_outputs(sample: Sample, columns: Columns) -> Float[Tensor, "rows targets"]:
    """Return the centred outputs of all rows."""
    parts = [
        centred_outputs(chunk, sample, columns).flatten(0, 1)
        for chunk in sample.chunks()
    ]
    return torch.cat(parts)


def _products(one: Chunk, other: Chunk) -> Float[Tensor, "some others"]:
    a, b = one.x.flatten(0, 1).T, other.x.flatten(0, 1).T
    left, right = doubled_integers(a), doubled_integers(b)
    if left is None or right is None:
        return a.T @ b
    return product(left, right)[: a.shape[1], : b.shape[1]].div_(4)

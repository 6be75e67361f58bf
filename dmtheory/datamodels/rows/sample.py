"""What an estimator regresses: blocks of rows whose errors are uncorrelated.

Models that share a training seed (pairs, the parts of a partition) form a block of P.
Their errors are exchangeable, hence equally correlated, so an orthogonal change of
coordinates within the block leaves rows with uncorrelated errors: the block's mean and
P - 1 contrasts. Rows are scaled by 1/sqrt(P), so that the products of a block's rows
have the covariance of one model's weights. For P = 2 they are the mean and half the
difference of a pair. An independent model is a block of its own, P = 1, all mean.

Where the block's mean of the weights is constant (complementary pairs, partitions) its
row says nothing and is left out, and the seed's effect on the block with it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

# Models a chunk; whole blocks, so chunks of long blocks are longer.
CHUNK = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chunk:
    """Consecutive blocks.

    Attributes:
        x: Regressors of each block's rows; the block's mean comes first if it is in.
        y: Outputs in the same coordinates, less the sample's shift.
        block_means: Mean outputs of the blocks, less the shift.
        blocks: The blocks' numbers in the design.
    """

    x: Float[Tensor, "blocks rows train"]
    y: Float[Tensor, "blocks rows targets"]
    block_means: Float[Tensor, "blocks targets"]
    blocks: Int64[Tensor, " blocks"]

    def only(self, kept: Bool[Tensor, " blocks"]) -> "Chunk":
        """Return the blocks that are marked."""
        return Chunk(
            x=self.x[kept],
            y=self.y[kept],
            block_means=self.block_means[kept],
            blocks=self.blocks[kept],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Rows to regress, held or recomputed chunk by chunk.

    Attributes:
        chunks: Starts a pass over the rows.
        n_blocks: Blocks of the design, those that are left out included.
        has_mean: Whether a block's first row is its mean, which has an intercept.
        level: The mean weight where rows hold no block means.
        shift: What was subtracted from the outputs, so that sums of squares are
            accurate; the intercept gets it back.
        null_directions: Orthonormal directions in which weights never vary.
        variances: Variance of each weight by the design, per identified direction;
            None where the design is unknown.
    """

    chunks: Callable[[], Iterator[Chunk]]
    n_blocks: int
    has_mean: bool
    level: float
    shift: Float[Tensor, " targets"]
    null_directions: Float[Tensor, "directions train"]
    variances: Float[Tensor, " train"] | None = None

    @property
    def n_train(self) -> int:
        """How many players there are."""
        return self.null_directions.shape[1]

    def only(self, kept: Bool[Tensor, " all_blocks"]) -> "Sample":
        """Return the sample of the blocks that are marked, by number."""

        def chunks() -> Iterator[Chunk]:
            for chunk in self.chunks():
                yield chunk.only(kept.to(chunk.blocks.device)[chunk.blocks])

        return replace(self, chunks=chunks)

    def targets(self, part: slice) -> "Sample":
        """Return the sample of some of the targets."""

        def chunks() -> Iterator[Chunk]:
            for chunk in self.chunks():
                yield replace(
                    chunk,
                    y=chunk.y[:, :, part],
                    block_means=chunk.block_means[:, part],
                )

        return replace(self, chunks=chunks, shift=self.shift[part])

    def gathered(self) -> Chunk:
        """Return all rows at once."""
        parts = list(self.chunks())
        if len(parts) == 1:
            return parts[0]
        return Chunk(
            x=torch.cat([part.x for part in parts]),
            y=torch.cat([part.y for part in parts]),
            block_means=torch.cat([part.block_means for part in parts]),
            blocks=torch.cat([part.blocks for part in parts]),
        )

    def held(self) -> "Sample":
        """Return the same sample with its rows in memory."""
        whole = self.gathered()
        return replace(self, chunks=lambda: iter((whole,)))


def independent_rows(
    weights: Float[Tensor, "models train"],
    outputs: Float[Tensor, "models targets"],
    *,
    null_directions: Float[Tensor, "directions train"] | None = None,
    variances: Float[Tensor, " train"] | None = None,
) -> Sample:
    """Return the sample of models that are independent of one another."""
    if null_directions is None:
        null_directions = weights.new_zeros(0, weights.shape[1])
    return block_rows(
        weights,
        outputs,
        size=1,
        has_mean=True,
        null_directions=null_directions,
        variances=variances,
    )


def block_rows(
    weights: Float[Tensor, "models train"],
    outputs: Float[Tensor, "models targets"],
    *,
    size: int,
    has_mean: bool,
    level: float = 0.5,
    null_directions: Float[Tensor, "directions train"] | None = None,
    variances: Float[Tensor, " train"] | None = None,
) -> Sample:
    """Return the sample of consecutive blocks of models that share a seed.

    Args:
        weights: One weight vector a model.
        outputs: Outputs of the models.
        size: Models a block.
        has_mean: Whether the block's mean weights vary from block to block.
        level: The mean weight where they do not.
        null_directions: Directions in which the design never varies.
        variances: Variance of each weight by the design.

    Returns:
        The sample, in memory.
    """
    shift = outputs.mean(0)
    ids = torch.arange(len(weights) // size, device=weights.device)
    chunk = make_chunk(weights, outputs - shift, ids, size=size, has_mean=has_mean)
    if null_directions is None:
        null_directions = weights.new_zeros(0, weights.shape[1])
    return Sample(
        chunks=lambda: iter((chunk,)),
        n_blocks=len(ids),
        has_mean=has_mean,
        level=level,
        shift=shift,
        null_directions=null_directions,
        variances=variances,
    )


def make_chunk(
    weights: Float[Tensor, "models train"],
    outputs: Float[Tensor, "models targets"],
    blocks: Int64[Tensor, " blocks"],
    *,
    size: int,
    has_mean: bool,
) -> Chunk:
    """Return models as rows with uncorrelated errors."""
    w, y = (values.unflatten(0, (-1, size)) for values in (weights, outputs))
    means = y.mean(1)
    if size > 1:
        turn = _contrasts(size).to(weights)[0 if has_mean else 1 :]
        w, y = (torch.einsum("rp,bpk->brk", turn, values) for values in (w, y))
    return Chunk(x=w, y=y, block_means=means, blocks=blocks)


def _contrasts(size: int) -> Float[Tensor, "rows rows"]:
    """Return Helmert's orthogonal matrix over sqrt(size): the mean, then contrasts."""
    turn = torch.full((size, size), 1.0 / size, dtype=torch.float64)
    for row in range(1, size):
        # 1 over the first `row` entries against -row in the next; exact for pairs.
        turn[row] = 0.0
        turn[row, :row] = 1.0
        turn[row, row] = -float(row)
        turn[row] /= (row * (row + 1) * size) ** 0.5
    return turn

"""The whole path of the LASSO, every solution with its certificate."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.datamodels.lasso.batched import PathPoint
from dmtheory.datamodels.lasso.duality_gap import duality_gap
from dmtheory.datamodels.lasso.engine import descend, points
from dmtheory.datamodels.lasso.scaling import scaled
from dmtheory.datamodels.rows.moments import moments_of
from dmtheory.datamodels.rows.sample import Sample

# Rounding in the certificate must not undo what the descent has reached.
ROUNDING = 0.99


def penalty_path(
    cross: Float[Tensor, "train targets"], n_penalties: int, least: float
) -> Float[Tensor, "targets penalties"]:
    """Return penalties in equal ratios, from where a target's coefficients all vanish.

    Args:
        cross: X'Y/m, centred; coefficients vanish from lambda = 2 |X'y|_inf/m on.
        n_penalties: How many.
        least: The last over the first.

    Returns:
        Falling penalties.
    """
    shape = torch.logspace(0, float(np.log10(least)), n_penalties, dtype=torch.float64)
    return 2 * cross.abs().amax(0)[:, None] * shape.to(cross)


def lasso_path(
    sample: Sample,
    l1_penalties: Float[Tensor, "targets penalties"],
    *,
    tolerance: float = 1e-6,
) -> tuple[
    Float[Tensor, "targets penalties train"], Float[Tensor, "targets penalties"]
]:
    """Return the coefficients at every penalty, and their relative duality gaps.

    Args:
        sample: Rows to regress.
        l1_penalties: Falling along each target's row.
        tolerance: Largest duality gap, relative to the objective at 0.

    Returns:
        Coefficients, and gaps recomputed from them.
    """
    whole = scaled(moments_of(sample).centred(), sample.shift)
    lengths = torch.full((len(l1_penalties),), l1_penalties.shape[1])
    found, _ = descend(whole, l1_penalties, lengths, ROUNDING * tolerance, every=True)
    gaps = [
        duality_gap(
            whole.gram,
            whole.cross,
            whole.output_squares,
            found[:, k].T.to(whole.gram),
            l1_penalties[:, k].to(whole.gram),
        )
        for k in range(l1_penalties.shape[1])
    ]
    return found, torch.stack(gaps, dim=1)


def iter_lasso_path(
    sample: Sample,
    l1_penalties: Float[Tensor, "targets penalties"],
    *,
    tolerance: float = 1e-6,
) -> Iterator[PathPoint]:
    """Go down the path where its coefficients together would not fit in memory.

    At 50,000 examples, 10,000 targets and 100 penalties these are 400 GB; one point
    holds at most 1 GiB of them, 2,684 targets at one penalty. Away from the CPU, the
    Gram matrix in float64 and in faster precisions takes 14 bytes an entry (35 GB
    there) and the targets in progress about fifteen times their coefficients (16 GB).

    Args:
        sample: Rows to regress; the path is gone down on their device.
        l1_penalties: Falling along each target's row.
        tolerance: Largest duality gap, relative to the objective at 0.

    Yields:
        Targets at one penalty, with the duality gap of every column.
    """
    whole = scaled(moments_of(sample).centred(), sample.shift)
    yield from points(whole, l1_penalties.to(whole.gram), ROUNDING * tolerance)

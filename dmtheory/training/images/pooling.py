"""Pooling that is deterministic on every device, by plain reductions.

torch's own max pooling adds gradients atomically on some devices, so two runs may
differ; a reduction does not, and a compiler fuses it with what is around it. Where
several entries share the maximum its gradient is shared among them.
"""

from torch import Tensor


def max_pool(x: Tensor, size: int) -> Tensor:
    """Return the maximum of each size x size square; the rest at the edge is cut."""
    return _squares(x, size).amax((3, 5))


def mean_pool(x: Tensor, size: int) -> Tensor:
    """Return the mean of each size x size square; the rest at the edge is cut."""
    return _squares(x, size).mean((3, 5))


def _squares(x: Tensor, size: int) -> Tensor:
    rows, columns = x.shape[2] // size, x.shape[3] // size
    kept = x[:, :, : rows * size, : columns * size]
    return kept.unflatten(2, (rows, size)).unflatten(4, (columns, size))

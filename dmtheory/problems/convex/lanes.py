"""Groups of one fixed size, so that a model's bits depend on no other model."""

from collections.abc import Callable

import torch
from torch import Tensor

# Rows computed together. Always so many, the last group filled up with copies: the
# rounding of a matrix product depends on its shape.
LANES = 64


def in_lanes(
    function: Callable[..., tuple[Tensor, ...]], *rows: Tensor, lanes: int = LANES
) -> tuple[Tensor, ...]:
    """Return function(rows) for many rows, so many lanes at a time.

    Args:
        function: Of that many rows of each tensor; returns tensors with as many.
        rows: Tensors with one row a model.
        lanes: The group's size; of a problem always the same.

    Returns:
        What it returned for all rows, in order.
    """
    found = []
    for place in torch.arange(len(rows[0]), device=rows[0].device).split(lanes):
        filled = torch.cat([place, place[-1:].expand(lanes - len(place))])
        results = function(*(tensor[filled] for tensor in rows))
        found.append([result[: len(place)] for result in results])
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))

"""Logits of a trained model at test images, averaged over the views of its recipe."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.func import functional_call

from dmtheory.training.images.pixels import moved
from dmtheory.training.images.stock import Stock, in_layout

# Test images at a time.
_AT_ONCE = 2000


@torch.no_grad()
def logits(
    stock: Stock,
    module: nn.Module,
    values: Mapping[str, Tensor],
    images: UInt8[Tensor, "images side side 3"],
) -> Float[Tensor, "images classes"]:
    """Return the mean of a model's logits over the recipe's views.

    Args:
        stock: Says the views and the precision.
        module: The network in evaluation mode.
        values: The model's parameters and buffers.
        images: Test images, channels last.

    Returns:
        Logits, in float32 at least.
    """
    recipe, precision = stock.recipe, stock.precision
    parts = []
    for rows in torch.arange(len(images), device=images.device).split(_AT_ONCE):
        total = torch.zeros((), dtype=precision.kept, device=images.device)
        for view in recipe.views:
            moves = torch.tensor(
                [int(view.mirrored), view.shift, view.shift, 0, 0],
                device=images.device,
            ).expand(len(rows), 5)
            x = moved(stock.scale, images, rows, moves, cutout=0)
            with precision.computing(images.device):
                found = functional_call(module, dict(values), (in_layout(x),))
            total = total + view.share * found.to(precision.kept)
        parts.append(total)
    return torch.cat(parts)

"""The batch's loss, compiled; where that fails, as it is, with a warning."""

import warnings
from typing import Any

import torch
from torch import Tensor

from dmtheory.training.images.lane import BatchLoss
from dmtheory.training.images.stock import Stock


def compiled_loss(stock: Stock) -> BatchLoss:
    """Return the loss with its element-wise work fused, forward and backward.

    One program serves all lanes: parameters are its arguments.
    """
    compiled: BatchLoss = torch.compile(stock.batch_loss, dynamic=False)

    def attempt(*arguments: Any) -> Tensor:
        nonlocal compiled
        if compiled is stock.batch_loss:
            return stock.batch_loss(*arguments)
        try:
            return compiled(*arguments)
        except Exception as error:
            warnings.warn(
                f"the loss could not be compiled ({type(error).__name__}); steps are "
                "taken without the compiler",
                RuntimeWarning,
                stacklevel=2,
            )
            compiled = stock.batch_loss
            return compiled(*arguments)

    return attempt

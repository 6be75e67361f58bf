"""The algorithm of fast_l1: minibatch SAGA on all targets at once, in single precision.

Our own code after its published description, as the peer of a benchmark: each step
takes a batch of rows, whose residuals replace those kept in a table; the averaged
gradient is kept up to date with it; a proximal step follows. Three things are other
than there, and only help it: masks and the table stay on the device instead of
travelling from the host's memory; the averaged gradient is summed in float64, without
which the gap rises again from 1e-5; and rows are scaled by the one standard deviation
of their law instead of each column's own, so that the objective is the one that its
duality gap is computed of.

References:
    Defazio, Bach and Lacoste-Julien 2014; Leclerc et al., fast_l1, 2022.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int8
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Saga:
    """Rows and outputs of min |y - Xb|^2/(2m) + alpha |b|_1, X and y centred.

    Attributes:
        masks: Uncentred rows of 0 and 1.
        outputs: Centred outputs.
        alpha: Penalty, a target.
        deviation: Standard deviation of a mask's entry, by its law.
        step: Learning rate of the rescaled problem.
        batch: Rows a step.
        seed: Of the batches' order.
    """

    masks: Int8[Tensor, "models train"]
    outputs: Float[Tensor, "models targets"]
    alpha: Float[Tensor, " targets"]
    deviation: float
    step: float
    batch: int
    seed: int = 0

    def epochs(self) -> Iterator[Float[Tensor, "train targets"]]:
        """Return coefficients after each pass over the rows, without end."""
        masks, n_models = self.masks, len(self.masks)
        y = self.outputs.float()
        mean = masks.float().mean(0)
        scaled = torch.zeros(masks.shape[1], y.shape[1]).to(y)
        # At 0 the residuals are the outputs themselves; the table starts empty.
        table, average = torch.zeros_like(y), torch.zeros_like(scaled).double()
        reach = self.step * self.alpha.float() / self.deviation
        orders = torch.Generator().manual_seed(self.seed)
        while True:
            order = torch.randperm(n_models, generator=orders).to(y.device)
            for rows in order.split(self.batch):
                x = (masks[rows].float() - mean) / self.deviation
                residuals = x @ scaled - y[rows]
                change = x.T @ (residuals - table[rows])
                moved = scaled - self.step * (change / len(rows) + average.float())
                average += change / n_models
                table[rows] = residuals
                scaled = moved.sign() * (moved.abs() - reach).clamp_min(0.0)
            yield scaled / self.deviation

"""Train models several at a time: one after another, or as branches of one graph."""

import copy
from collections.abc import Iterator

from jaxtyping import Float, Int64
from torch import Tensor, nn

from dmtheory.training.images.lane import Lane
from dmtheory.training.images.plan import Mode, most_steps, plans
from dmtheory.training.images.running import Running
from dmtheory.training.images.stock import Stock, initial
from dmtheory.weighting import Normalisation


class Trainer:
    """Lanes that train one model each, used again for the next models.

    A model's numbers do not depend on its lane or on who trains beside it: every
    convolution is a call of its own.
    """

    def __init__(
        self,
        stock: Stock,
        *,
        mode: Mode,
        normalisation: Normalisation,
        models_at_once: int,
        running: Running,
    ) -> None:
        """Make the lanes.

        Args:
            stock: What all models share.
            mode: Which images are visited.
            normalisation: "sum" or "count".
            models_at_once: Lanes.
            running: How their steps run.
        """
        self.stock, self.mode, self.normalisation = stock, mode, normalisation
        capacity = most_steps(stock.recipe, len(stock.images))
        loss = running.loss(stock)
        self.lanes = [Lane(stock, capacity, loss) for _ in range(models_at_once)]
        self.runner = running.runner(self.lanes)
        self.evaluated: nn.Module = copy.deepcopy(stock.module).eval()

    def train(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Iterator[Lane]:
        """Train one model a row and yield each, in order, in a lane to be read now.

        Args:
            weights: On the device.
            seeds: On the CPU: reading them must not wait for the device.
        """
        size = len(self.lanes)
        for w, s in zip(weights.split(size), seeds.split(size), strict=True):
            self._load(w, s)
            self.runner.run(len(s))
            yield from self.lanes[: len(s)]

    def _load(self, weights: Tensor, seeds: Tensor) -> None:
        stock = self.stock
        # First, while the device is still busy with the models before.
        starts = [initial(stock, seed) for seed in seeds.split(1)]
        found = plans(
            stock.recipe,
            stock.ids,
            weights,
            seeds,
            mode=self.mode,
            normalisation=self.normalisation,
            side=stock.side,
            dtype=stock.precision.kept,
        )
        # Before models are loaded: making ready takes steps.
        self.runner.make_ready({plan.plain for plan in found})
        for lane, start, plan in zip(self.lanes, starts, found, strict=False):
            lane.load(start.to(stock.device), plan)

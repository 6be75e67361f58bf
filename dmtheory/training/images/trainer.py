"""Train models several at a time: one after another, or as branches of one graph."""

import copy
from collections.abc import Iterator

from jaxtyping import Float, Int64
from torch import Tensor, nn

from dmtheory.training.images.lane import Lane
from dmtheory.training.images.plan import Mode, most_steps, plans
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
    ) -> None:
        """Make the lanes.

        Args:
            stock: What all models share.
            mode: Which images are visited.
            normalisation: "sum" or "count".
            models_at_once: Lanes.
        """
        self.stock, self.mode, self.normalisation = stock, mode, normalisation
        capacity = most_steps(stock.recipe, len(stock.images))
        self.lanes = [
            Lane(stock, capacity, stock.batch_loss) for _ in range(models_at_once)
        ]
        self.evaluated: nn.Module = copy.deepcopy(stock.module).eval()

    def train(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Iterator[Lane]:
        """Train one model a row and yield each, in order, in a lane to be read now.

        Args:
            weights: On the device.
            seeds: On the device.
        """
        size = len(self.lanes)
        for w, s in zip(weights.split(size), seeds.split(size), strict=True):
            lanes = self.lanes[: len(s)]
            self._load(lanes, w, s)
            self._run(lanes)
            yield from lanes

    def _load(self, lanes: list[Lane], weights: Tensor, seeds: Tensor) -> None:
        stock = self.stock
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
        for lane, plan, seed in zip(lanes, found, seeds.split(1), strict=True):
            lane.load(initial(stock, seed).to(stock.device), plan)

    def _run(self, lanes: list[Lane]) -> None:
        for lane in lanes:
            for _ in range(lane.n_steps):
                lane.step(plain=lane.plain)

"""The slope of a training step, for many models at once, and how it moves."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import grad, jvp, vmap

from dmtheory.training.order import Visits
from dmtheory.training.task import Task, unflattened


@dataclass(frozen=True, kw_only=True, eq=False)
class Slopes:
    """g(theta, a) = (1/|B|) sum_{j in B} a_j grad l_j(theta) + grad R(theta).

    Attributes:
        task: What is trained.
        rows: The example in each slot of B, for all models or for each.
        shares: 1/|B| in filled slots, 0 in empty ones.
        factors: a_j / |B| of each slot.
        keys: Keys of each slot's randomness, where there is any.
    """

    task: Task
    rows: Int64[Tensor, "orders batch"]
    shares: Float[Tensor, "orders batch"]
    factors: Float[Tensor, "models batch"]
    keys: Int64[Tensor, "models batch words"] | None

    @staticmethod
    def of(
        task: Task,
        plan: Visits,
        step: int,
        weights: Float[Tensor, "models train"],
        scales: Float[Tensor, " models"],
        seeds: Int64[Tensor, " models"],
    ) -> "Slopes":
        """Return the slopes of one step of a training."""
        filled = plan.filled[step]
        return Slopes(
            task=task,
            rows=plan.rows[step],
            shares=filled / filled.sum(1, keepdim=True).clamp_min(1).to(weights.dtype),
            factors=task.slot_weights(weights, scales, plan, step),
            keys=task.keys(seeds, plan, step),
        )

    def at(
        self, params: Float[Tensor, "models params"]
    ) -> Float[Tensor, "models params"]:
        """Return g of every model."""
        one = vmap(lambda *given: self._one(*given)[0], (0, 0, *self._axes))
        return one(params, self.factors, *self._examples)

    def along(
        self,
        params: Float[Tensor, "models params"],
        ways: Float[Tensor, "models ways params"],
    ) -> tuple[Float[Tensor, "models ways params"], Float[Tensor, "models ways batch"]]:
        """Return H u and <u, grad l_j>, j in B, of every way u of the parameters.

        Both come of one pass of forward over reverse mode.
        """

        def moved(
            theta: Tensor, way: Tensor, factors: Tensor, *examples: Any
        ) -> tuple[Tensor, Tensor]:
            return jvp(lambda at: self._one(at, factors, *examples), (theta,), (way,))[
                1
            ]

        none = (None,) * (1 + len(self._axes))
        each = vmap(vmap(moved, (None, 0, *none)), (0, 0, 0, *self._axes))
        return each(params, ways, self.factors, *self._examples)

    def along_both(
        self,
        params: Float[Tensor, "models params"],
        ways: Float[Tensor, "models ways params"],
        bends: Float[Tensor, "models ways batch"],
    ) -> Float[Tensor, "models ways params"]:
        """Return how g moves as the parameters and the factors do."""

        def moved(
            theta: Tensor, way: Tensor, factors: Tensor, bend: Tensor, *examples: Any
        ) -> Tensor:
            def slope(theta: Tensor, factors: Tensor) -> Tensor:
                return self._one(theta, factors, *examples)[0]

            return jvp(slope, (theta, factors), (way, bend))[1]

        none = (None,) * len(self._axes)
        each = vmap(moved, (None, 0, None, 0, *none))
        each = vmap(each, (0, 0, 0, 0, *self._axes))
        return each(params, ways, self.factors, bends, *self._examples)

    def picked(
        self, effective: Float[Tensor, "models ways train"]
    ) -> Float[Tensor, "models ways batch"]:
        """Return a_j / |B| of each slot, of many vectors a."""
        if len(self.rows) == 1:
            return effective[..., self.rows[0]] * self.shares
        rows = self.rows[:, None].expand(-1, effective.shape[1], -1)
        return effective.gather(2, rows) * self.shares[:, None]

    def gather(
        self,
        slots: Float[Tensor, "models ways batch"],
        into: Float[Tensor, "models ways train"],
    ) -> None:
        """Add the transpose of `picked` to a total."""
        if len(self.rows) == 1:
            into.index_add_(2, self.rows[0], slots * self.shares)
        else:
            rows = self.rows[:, None].expand(-1, into.shape[1], -1)
            into.scatter_add_(2, rows, slots * self.shares[:, None])

    @property
    def _examples(self) -> tuple[Tensor | None, Tensor, Tensor]:
        # One order for all: the batch is not copied for each model.
        here = self.rows[0] if len(self.rows) == 1 else self.rows
        return self.keys, self.task.x[here], self.task.y[here]

    @property
    def _axes(self) -> tuple[int | None, int | None, int | None]:
        batch = None if len(self.rows) == 1 else 0
        return None if self.keys is None else 0, batch, batch

    def _one(
        self, flat: Tensor, factors: Tensor, keys: Tensor | None, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return one model's slope, and its losses in the batch."""
        task = self.task
        like = {name: task.module.get_parameter(name) for name in task.names}

        def objective(flat: Tensor) -> tuple[Tensor, Tensor]:
            losses = task.losses(unflattened(like, flat), keys, x, y)
            return (losses * factors).sum(), losses

        slope, losses = grad(objective, has_aux=True)(flat)
        return slope + task.procedure.weight_decay * flat, losses

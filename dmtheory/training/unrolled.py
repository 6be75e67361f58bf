"""The steps of training as functions that can be differentiated, one at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import jvp, vjp, vmap

from dmtheory.training.memory import bytes_a_way
from dmtheory.training.order import Visits, visits
from dmtheory.training.recorded import Recorded
from dmtheory.training.step import State, advance, pull, push
from dmtheory.training.task import Task, unflattened


@dataclass(frozen=True, kw_only=True, eq=False)
class Unrolled:
    r"""The training of some models under fixed steps, and its derivatives.

    Step k makes (theta, s) of (theta, s) and of the effective weights a_j = N w_j / W,
    through which alone the weights act:

        g = (1/|B|) sum_{j in B} a_j grad l_j(theta) + grad R(theta),
        (theta, s) <- procedure(theta, g, s).

    Attributes:
        task: What is trained.
        start: Initial parameters.
        weights: One weight vector a model.
        seeds: One training seed a model.
    """

    task: Task
    start: Float[Tensor, "models params"]
    weights: Float[Tensor, "models train"]
    seeds: Int64[Tensor, " models"]

    @property
    def n_steps(self) -> int:
        """How many steps training takes."""
        return len(self._plan.rows)

    @property
    def bytes_a_way(self) -> int:
        """About what one more adjoint or tangent of one model takes in a step."""
        return bytes_a_way(self.task)

    def first(self) -> State:
        """Return the state before the first step."""
        return self.state(self.start)

    def state(self, params: Float[Tensor, "*models params"]) -> State:
        """Return the state of flat parameters, the optimiser's memory zero."""
        values = list(unflattened(self._like, params).values())
        memory = self.task.procedure.state(values)
        return *values, *(entry for stack in memory for entry in stack)

    def parameters(self, state: State) -> Float[Tensor, "*models params"]:
        """Return the flat parameters of a state, or of its adjoints or tangents."""
        pairs = zip(state, self._like.values(), strict=False)
        rows = [
            entry.reshape(*entry.shape[: entry.ndim - like.ndim], -1)
            for entry, like in pairs
        ]
        return torch.cat(rows, -1)

    def advanced(self, state: State, step: int) -> State:
        """Return the state after a step."""
        return self._on(advance)(state, *self._given(step))

    def pulled(
        self,
        state: State,
        step: int,
        adjoints: State,
        gathered: Float[Tensor, "models targets train"],
    ) -> State:
        r"""Pull adjoints back through a step.

        With u the adjoint of the slope g, that of theta gains H u, and that of a_j,
        j in B, gains <u, grad l_j> / |B|.

        Args:
            state: The state before the step.
            step: Which step.
            adjoints: Derivatives by the state after it.
            gathered: Derivatives by the effective weights: this step's are added.

        Returns:
            Derivatives by the state before the step.
        """
        before, slots = self._on(pull)(adjoints, state, *self._given(step))
        self._gather(step, slots, gathered)
        return before

    def pushed(
        self,
        state: State,
        step: int,
        tangents: State,
        moves: Float[Tensor, "models directions train"],
    ) -> tuple[State, State]:
        """Push tangents through a step.

        Args:
            state: The state before the step.
            step: Which step.
            tangents: Its derivatives along the directions.
            moves: Those of the effective weights.

        Returns:
            The state after the step, and its derivatives along the directions.
        """
        moved = self._picked(step, moves)
        pushed = self._on(push)(tangents, moved, state, *self._given(step))
        return self.advanced(state, step), pushed

    def by_weights(
        self, gathered: Float[Tensor, "models targets train"]
    ) -> Float[Tensor, "models targets train"]:
        """Return derivatives by the weights from those by the effective weights."""
        pull = vjp(self._effective, self._weights)[1]
        return vmap(lambda row: pull(row)[0], 1, 1)(gathered)

    def moves(
        self, directions: Float[Tensor, "models directions train"]
    ) -> Float[Tensor, "models directions train"]:
        """Return how the effective weights move along directions of the weights."""

        def move(direction: Tensor) -> Tensor:
            return jvp(self._effective, (self._weights,), (direction,))[1]

        return vmap(move, 1, 1)(directions)

    def _effective(self, weights: Tensor) -> Tensor:
        return weights * self.task.scales(weights)[:, None]

    def _on(self, make: Callable[[Task, torch.device], Recorded]) -> Recorded:
        return self.task.on(self.start.device, make)

    def _given(self, step: int) -> tuple[Tensor | None, ...]:
        """Return factors, keys, examples, step size and number of a step."""
        task, plan, dtype = self.task, self._plan, self.start.dtype
        # One order for all: the batch is not copied for each model.
        here = plan.rows[step][0] if task.procedure.shares_order else plan.rows[step]
        # Under fixed steps all models take the same number of them.
        rate = task.procedure.rates(step, plan.n_steps[:1])[0].to(dtype)
        number = torch.tensor(step + 1.0, dtype=dtype, device=rate.device)
        factors = task.slot_weights(self._weights, self._scales, plan, step)
        keys = task.keys(self.seeds, plan, step)
        return factors, keys, task.x[here], task.y[here], rate, number

    def _picked(self, step: int, effective: Tensor) -> Tensor:
        """Return a_j / |B| of each slot, of many effective weight vectors."""
        rows = self._plan.rows[step]
        if len(rows) == 1:
            return effective[..., rows[0]] * self._shares(step)
        index = rows[:, None].expand(-1, effective.shape[1], -1)
        return effective.gather(2, index) * self._shares(step)[:, None]

    def _gather(self, step: int, slots: Tensor, into: Tensor) -> None:
        """Add the transpose of `_picked` to a total."""
        rows = self._plan.rows[step]
        if len(rows) == 1:
            into.index_add_(2, rows[0], slots * self._shares(step))
        else:
            index = rows[:, None].expand(-1, into.shape[1], -1)
            into.scatter_add_(2, index, slots * self._shares(step)[:, None])

    def _shares(self, step: int) -> Float[Tensor, "orders batch"]:
        """Return 1/|B| in filled slots and 0 in empty ones."""
        filled = self._plan.filled[step].to(self.start.dtype)
        return filled / filled.sum(1, keepdim=True).clamp_min(1)

    @cached_property
    def _like(self) -> dict[str, Tensor]:
        names = self.task.names
        return {name: self.task.module.get_parameter(name).detach() for name in names}

    @cached_property
    def _plan(self) -> Visits:
        return visits(self.task.procedure, self.task.ids, self.weights, self.seeds)

    @cached_property
    def _weights(self) -> Tensor:
        return self.weights.to(self.start.dtype)

    @cached_property
    def _scales(self) -> Tensor:
        return self.task.scales(self.weights).to(self.start.dtype)

"""The steps of training as functions that can be differentiated, one at a time."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import jvp, vjp, vmap

from dmtheory.training.order import Visits, visits
from dmtheory.training.slopes import Slopes
from dmtheory.training.task import Task

# Flat parameters, then the optimiser's memory, each [models, params]. Adjoints and
# tangents of a state have an axis of targets or directions behind the models.
State = tuple[Tensor, ...]


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

    def first(self) -> State:
        """Return the state before the first step."""
        memory = self.task.procedure.state([self.start])
        return self.start, *(entry for (entry,) in memory)

    def advanced(self, state: State, step: int) -> State:
        """Return the state after a step."""
        slopes = self._slopes(step).at(state[0])
        return self._moved(step, state[0], slopes, *state[1:])

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
        slopes = self._slopes(step)

        def update(*before: Tensor) -> State:
            return self._moved(step, *before)

        pull = vjp(update, state[0], slopes.at(state[0]), *state[1:])[1]
        own, ways, *memory = vmap(pull, 1, 1)(adjoints)
        curved, rises = slopes.along(state[0], ways)
        slopes.gather(rises, gathered)
        return own + curved, *memory

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
        slopes = self._slopes(step)
        before = state[0], slopes.at(state[0]), *state[1:]
        bent = slopes.along_both(state[0], tangents[0], slopes.picked(moves))

        def push(*moved: Tensor) -> State:
            return jvp(lambda *at: self._moved(step, *at), before, moved)[1]

        pushed = vmap(push, 1, 1)(tangents[0], bent, *tangents[1:])
        return self._moved(step, *before), pushed

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

    def _slopes(self, step: int) -> Slopes:
        given = self._weights, self._scales, self.seeds
        return Slopes.of(self.task, self._plan, step, *given)

    def _moved(self, step: int, value: Tensor, slope: Tensor, *memory: Tensor) -> State:
        procedure = self.task.procedure
        # Under fixed steps all models take the same number of them.
        rate = procedure.rates(step, self._plan.n_steps[:1]).to(value.dtype)
        number = torch.tensor(step + 1.0, dtype=value.dtype, device=value.device)
        return procedure.moved(value, slope, memory, rate, number)

    @cached_property
    def _plan(self) -> Visits:
        return visits(self.task.procedure, self.task.ids, self.weights, self.seeds)

    @cached_property
    def _weights(self) -> Tensor:
        return self.weights.to(self.start.dtype)

    @cached_property
    def _scales(self) -> Tensor:
        return self.task.scales(self.weights).to(self.start.dtype)

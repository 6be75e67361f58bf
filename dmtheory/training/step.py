"""One step of training as a pure function, for one model and for many."""

from typing import Any

import torch
from torch import Tensor
from torch.func import grad, jvp, vjp, vmap

from dmtheory.training.recorded import Recorded
from dmtheory.training.task import Task

# The parameters' tensors, then the optimiser's memories of them, each [models, ...].
# Adjoints and tangents of a state have an axis of targets or directions behind the
# models.
State = tuple[Tensor, ...]


def step(
    task: Task,
    state: State,
    factors: Tensor,
    keys: Tensor | None,
    x: Tensor,
    y: Tensor,
    rate: Tensor,
    number: Tensor,
) -> State:
    """Return one model's state after a step.

    Args:
        task: What is trained.
        state: Its state.
        factors: a_j / |B| of each slot of the batch.
        keys: Keys of each slot's randomness, where there is any.
        x: The batch.
        y: Its classes or responses.
        rate: Step size.
        number: The step's number, from 1.

    Returns:
        The next state.
    """
    n = len(task.names)
    values = dict(zip(task.names, state[:n], strict=True))
    slopes = grad(task.batch_loss)(values, factors, keys, x, y)
    decay = task.procedure.weight_decay
    moved = [
        task.procedure.moved(
            value, slopes[name] + decay * value, state[n + k :: n], rate, number
        )
        for k, (name, value) in enumerate(values.items())
    ]
    return tuple(entry for stack in zip(*moved, strict=True) for entry in stack)


def advance(task: Task, device: torch.device) -> Recorded:
    """Return the step of all models: (state, given) to the next state."""

    def one(state: State, factors: Tensor, *given: Any) -> State:
        return step(task, state, factors, *given)

    return Recorded(vmap(one, (0, *_axes(task))))


def pull(task: Task, device: torch.device) -> Recorded:
    """Return (adjoints, state, given) to the adjoints before the step and by factors.

    Reverse over reverse mode: the step is differentiated once for all targets, and what
    does not depend on the parameters has no share in the products.
    """

    def one(
        adjoints: State, state: State, factors: Tensor, *given: Any
    ) -> tuple[State, Tensor]:
        def after(state: State, factors: Tensor) -> State:
            return step(task, state, factors, *given)

        return vmap(vjp(after, state, factors)[1])(adjoints)

    return Recorded(vmap(one, (0, 0, *_axes(task))))


def push(task: Task, device: torch.device) -> Recorded:
    """Return (tangents, moves of the factors, state, given) to the next tangents."""

    def one(
        tangents: State, moves: Tensor, state: State, factors: Tensor, *given: Any
    ) -> State:
        def after(state: State, factors: Tensor) -> State:
            return step(task, state, factors, *given)

        def pushed(tangents: State, moves: Tensor) -> State:
            return jvp(after, (state, factors), (tangents, moves))[1]

        return vmap(pushed)(tangents, moves)

    return Recorded(vmap(one, (0, 0, 0, *_axes(task))))


def _axes(task: Task) -> tuple[int | None, ...]:
    """Return the models' axis of factors, keys, x, y, rate and number."""
    batch = None if task.procedure.shares_order else 0
    return 0, 0 if task.keyed else None, batch, batch, None, None

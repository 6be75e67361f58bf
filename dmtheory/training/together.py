"""Train all models of a chunk together: every step is one vmapped gradient."""

import warnings
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import grad, vmap

from dmtheory.training.order import visits
from dmtheory.training.procedures import Stack
from dmtheory.training.task import Task, flattened, stacked

# Updates parameters and the optimiser's memory in place:
# (values, state, slot weights, keys, x, y, rates, number of the step).
TakeStep = Callable[..., None]


def train_together(
    task: Task,
    take: TakeStep,
    start: Float[Tensor, "models params"],
    weights: Float[Tensor, "models train"],
    seeds: Int64[Tensor, " models"],
) -> Float[Tensor, "models params"]:
    """Return the trained parameters of every model."""
    values = list(stacked(task, start).values())
    state = task.procedure.state(values)
    plan = visits(task.procedure, task.ids, weights, seeds)
    scales = task.scales(weights)
    weights, scales = weights.to(start.dtype), scales.to(start.dtype)
    for step in range(len(plan.rows)):
        rows = plan.rows[step]
        # One order for all: the batch is not copied for each model.
        here = rows[0] if task.procedure.shares_order else rows
        take(
            values,
            state,
            task.slot_weights(weights, scales, plan, step),
            task.keys(seeds, plan, step),
            task.x[here],
            task.y[here],
            task.procedure.rates(step, plan.n_steps).to(start.dtype),
            # A tensor: a compiler would make a program for each number.
            torch.tensor(step + 1.0, dtype=start.dtype, device=start.device),
        )
    return flattened(values)


def step_of(task: Task) -> TakeStep:
    """Return a step of all models: their gradients, and the optimiser's update."""
    batch = None if task.procedure.shares_order else 0
    gradient = vmap(
        grad(task.batch_loss), (0, 0, 0 if task.keyed else None, batch, batch)
    )

    def take(
        values: Stack,
        state: list[Stack],
        weights: Tensor,
        keys: Tensor | None,
        x: Tensor,
        y: Tensor,
        rates: Tensor,
        number: Tensor,
    ) -> None:
        found = gradient(
            dict(zip(task.names, values, strict=True)), weights, keys, x, y
        )
        slopes = [found[name] for name in task.names]
        torch._foreach_add_(slopes, values, alpha=task.procedure.weight_decay)
        task.procedure.update(values, slopes, state, rates, number)

    return take


def compiled_step(task: Task, device: torch.device) -> TakeStep:
    """Return the compiled step, made once a task: programs are kept with it."""
    take = step_of(task)
    compiled: TakeStep = torch.compile(take, dynamic=False)

    def attempt(*arguments: object) -> None:
        nonlocal compiled
        try:
            compiled(*arguments)
        except Exception as error:
            if compiled is take:
                raise
            warnings.warn(
                f"the step could not be compiled ({type(error).__name__}); it is "
                "taken without the compiler",
                RuntimeWarning,
                stacklevel=2,
            )
            compiled = take
            take(*arguments)

    return attempt

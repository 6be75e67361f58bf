"""Who trains together: all models of a chunk at once, or one by one."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import grad, vmap

from dmtheory.checks import check_at_least
from dmtheory.training.memory import bytes_a_model
from dmtheory.training.modules import check_batchable, keyed_modules, state_names
from dmtheory.training.order import Visits, visits
from dmtheory.training.procedures import Stack
from dmtheory.training.task import Task, flattened, stacked

# Updates parameters and the optimiser's memory in place:
# (values, state, slot weights, keys, x, y, rates, number of the step).
TakeStep = Callable[..., None]


@runtime_checkable
class Execution(Protocol):
    """A way to train many models of one task."""

    def check(self, task: Task) -> None:
        """Raise ValueError where the task's module cannot be trained this way."""
        ...

    def chunk(self, task: Task) -> int:
        """Return how many models are trained together."""
        ...

    def train(
        self,
        task: Task,
        start: Float[Tensor, "models params"],
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models state"]:
        """Return trained parameters, followed by buffers that training changed.

        Args:
            task: What is trained.
            start: Initial parameters.
            weights: One weight vector a model.
            seeds: One training seed a model.

        Returns:
            One row a model.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Vmapped:
    """All models of a chunk take each step together, on stacked parameters.

    Attributes:
        memory: Bytes that a chunk may take, at least one model whatever they are.
            Chunks that fit the processor's caches are the fastest.
    """

    memory: int = 2**24

    def __post_init__(self) -> None:
        check_at_least(self.memory, 1, "memory")

    def check(self, task: Task) -> None:
        """Raise ValueError unless an example's prediction is its own."""
        check_batchable(task.module, task.x[:3])

    def chunk(self, task: Task) -> int:
        """Return how many models fit the memory."""
        return max(1, self.memory // bytes_a_model(task))

    def train(
        self,
        task: Task,
        start: Float[Tensor, "models params"],
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models state"]:
        """Return trained parameters."""
        return _train_together(task, _step_of(task), start, weights, seeds)


class Compiled(Vmapped):
    """The same steps, compiled: several times faster in single precision.

    The first chunk waits for the compiler (seconds to a minute). Chunks always have
    one size, the last filled up with copies, so that there is one program and a
    model's bits depend on no other. Where the compiler does not work, the steps are
    taken without it, with a warning. Rounding differs from `Vmapped`.
    """

    def train(
        self,
        task: Task,
        start: Float[Tensor, "models params"],
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models state"]:
        """Return trained parameters."""
        n_models = len(start)
        filled = torch.arange(self.chunk(task)).clamp(max=n_models - 1)
        take = task.on(start.device, _compiled_step)
        trained = _train_together(
            task, take, start[filled], weights[filled], seeds[filled]
        )
        return trained[:n_models]


@dataclass(frozen=True, slots=True)
class OneByOne:
    """One ordinary module after another: slow, and works with any module.

    Examples of weight zero are not shown to the module, so weight 0 means absent even
    where it uses batch statistics; those of positive weight enter such statistics
    whole. Random numbers that the module draws itself are seeded for each model, not
    for each example.
    """

    def check(self, task: Task) -> None:
        """Accept any module."""

    def chunk(self, task: Task) -> int:
        """Return 1."""
        return 1

    def train(
        self,
        task: Task,
        start: Float[Tensor, "models params"],
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models state"]:
        """Return trained parameters, followed by buffers that training changed."""
        rows = zip(start.split(1), weights.split(1), seeds.split(1), strict=True)
        return torch.cat([_train_alone(task, *row) for row in rows])


def _train_together(
    task: Task, take: TakeStep, start: Tensor, weights: Tensor, seeds: Tensor
) -> Tensor:
    values = list(stacked(task, start).values())
    state = task.procedure.state(values)
    plan = _placed(visits(task.procedure, task.ids, weights.cpu(), seeds.cpu()), start)
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


def _step_of(task: Task) -> TakeStep:
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


def _compiled_step(task: Task, device: torch.device) -> TakeStep:
    """Return the compiled step, made once a task: programs are kept with it."""
    take = _step_of(task)
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


def _train_alone(task: Task, start: Tensor, weights: Tensor, seed: Tensor) -> Tensor:
    module = copy.deepcopy(task.module).train()
    stateful = state_names(task.module, task.x[:3])
    parameters = [module.get_parameter(name) for name in task.names]
    for parameter, value in zip(parameters, stacked(task, start).values(), strict=True):
        parameter.data.copy_(value[0])
    values = [parameter.data[None] for parameter in parameters]
    state = task.procedure.state(values)
    plan = _placed(visits(task.procedure, task.ids, weights.cpu(), seed.cpu()), start)
    scales = task.scales(weights)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(seed))
        for step in range(len(plan.rows)):
            factors = task.slot_weights(weights, scales, plan, step)[0]
            slopes = _slopes_alone(task, module, parameters, plan, step, factors, seed)
            torch._foreach_add_(slopes, values, alpha=task.procedure.weight_decay)
            rates = task.procedure.rates(step, plan.n_steps).to(start.dtype)
            number = torch.tensor(step + 1.0, dtype=start.dtype)
            task.procedure.update(values, slopes, state, rates, number)
    buffers = [module.get_buffer(name)[None].to(start.dtype) for name in stateful]
    return flattened([*values, *buffers])


def _slopes_alone(
    task: Task,
    module: torch.nn.Module,
    parameters: list[torch.nn.Parameter],
    plan: Visits,
    step: int,
    factors: Tensor,
    seed: Tensor,
) -> list[Tensor]:
    """Return the gradient of one module's batch loss, examples of weight 0 left out."""
    present = factors > 0
    if not bool(present.any()):
        return [torch.zeros_like(parameter)[None] for parameter in parameters]
    rows = plan.rows[step][0][present]
    x, keys = task.x[rows], task.keys(seed, plan, step)
    if keys is not None:
        keys = keys[0][present]
        for dropout in keyed_modules(module).values():
            dropout.key = keys[:, :2]
        if task.augment is not None:
            x = task.augment(x, keys[:, 2:])
    losses = task.loss(module(x), task.y[rows])
    total = (losses * factors[present].to(losses.dtype)).sum()
    return [slope[None] for slope in torch.autograd.grad(total, parameters)]


def _placed(plan: Visits, like: Tensor) -> Visits:
    return Visits(
        rows=plan.rows.to(like.device),
        filled=plan.filled.to(like.device),
        epoch=plan.epoch.to(like.device),
        n_steps=plan.n_steps.to(like.device),
    )

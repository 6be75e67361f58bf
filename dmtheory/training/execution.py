"""Who trains together: all models of a chunk at once, or one by one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor
from torch.func import vmap

from dmtheory.checks import check_at_least
from dmtheory.training.alone import train_alone
from dmtheory.training.batchable import check_batchable
from dmtheory.training.memory import bytes_a_model, bytes_to_measure
from dmtheory.training.task import Task
from dmtheory.training.together import (
    TakeStep,
    compiled_step,
    step_of,
    train_together,
)


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

    def measure(
        self,
        task: Task,
        function: Callable[[Tensor], Tensor],
        state: Float[Tensor, "models state"],
        n_examples: int,
    ) -> Shaped[Tensor, "models ..."]:
        """Return a function of each model's state, which predicts n_examples."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Vmapped:
    """All models of a chunk take each step together, on stacked parameters.

    Attributes:
        memory: Bytes that a chunk may take, at least two models whatever they are
            (a model that is alone would round differently). Chunks that fit the
            processor's caches are the fastest.
    """

    memory: int = 2**25

    def __post_init__(self) -> None:
        check_at_least(self.memory, 1, "memory")

    def check(self, task: Task) -> None:
        """Raise ValueError unless an example's prediction is its own."""
        check_batchable(task)

    def chunk(self, task: Task) -> int:
        """Return how many models fit the memory."""
        return max(2, self.memory // bytes_a_model(task))

    def train(
        self,
        task: Task,
        start: Float[Tensor, "models params"],
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Float[Tensor, "models state"]:
        """Return trained parameters."""
        n_models = len(start)
        filled = torch.arange(self._width(task, n_models)).clamp(max=n_models - 1)
        trained = train_together(
            task, self._step(task), start[filled], weights[filled], seeds[filled]
        )
        return trained[:n_models]

    def _width(self, task: Task, n_models: int) -> int:
        """Return how many models are trained for n of them, the rest copies."""
        return max(n_models, 2)

    def _step(self, task: Task) -> TakeStep:
        """Return how all of them take a step."""
        return step_of(task)

    def measure(
        self,
        task: Task,
        function: Callable[[Tensor], Tensor],
        state: Float[Tensor, "models state"],
        n_examples: int,
    ) -> Shaped[Tensor, "models ..."]:
        """Return a function of each model's state, as many at once as fit."""
        size = max(1, self.memory // bytes_to_measure(task, n_examples))
        with torch.no_grad():
            return torch.cat([vmap(function)(part) for part in state.split(size)])


class Compiled(Vmapped):
    """The same steps, compiled: several times faster in single precision.

    The first chunk waits for the compiler (seconds to a minute). Chunks always have
    one size, the last filled up with copies, so that there is one program and a
    model's bits depend on no other. Where the compiler does not work, the steps are
    taken without it, with a warning. Rounding differs from `Vmapped`.
    """

    def chunk(self, task: Task) -> int:
        """Return a power of two that fits the memory, so that blocks leave no rest."""
        return 1 << (super().chunk(task).bit_length() - 1)

    def _width(self, task: Task, n_models: int) -> int:
        return self.chunk(task)

    def _step(self, task: Task) -> TakeStep:
        return task.on(task.device, compiled_step)


@dataclass(frozen=True, slots=True)
class OneByOne:
    """One ordinary module after another: slow, and works with any module.

    Examples of weight zero are not shown to the module, so weight 0 means absent even
    where it uses batch statistics; those of positive weight enter such statistics
    whole, and a batch with one of them, which has no statistics, takes the penalty's
    step alone. Random numbers that the module draws itself are seeded for each model,
    not for each example.
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
        return torch.cat([train_alone(task, *row) for row in rows])

    def measure(
        self,
        task: Task,
        function: Callable[[Tensor], Tensor],
        state: Float[Tensor, "models state"],
        n_examples: int,
    ) -> Shaped[Tensor, "models ..."]:
        """Return a function of each model's state, one after another."""
        with torch.no_grad():
            return torch.stack([function(row) for row in state])

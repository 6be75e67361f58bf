"""Training procedures: optimiser, schedule, order of examples, number of steps."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_at_least, check_choice, check_positive
from dmtheory.designs.seeds import check_seed
from dmtheory.weighting import STEP_POLICIES, StepPolicy

Schedule = Literal["linear", "constant", "cosine"]
Order = Literal["shared", "per-model"]
# One tensor a parameter, [models, *shape].
Stack = list[Tensor]


@dataclass(frozen=True, kw_only=True)
class Procedure(ABC):
    """What every procedure fixes; optimisers add how a gradient becomes a step.

    Attributes:
        epochs: Passes over the examples.
        batch_size: Examples a step.
        learning_rate: First step size.
        schedule: "linear" falls to zero, "cosine" falls to zero along half a cosine,
            "constant" stays.
        weight_decay: R(theta) = weight_decay/2 |theta|^2, part of the objective: its
            gradient goes through the optimiser like any other.
        order: "shared" gives every model the same order of examples, which is the
            common-random-number choice and faster, since batches are not copied for
            each model; "per-model" draws one for each seed.
        order_seed: Seed of the order.
        step_policy: "fixed" visits all examples whatever their weight;
            "proportional" visits those of the subset alone, so that steps are in
            proportion to its size (weights of 0 and 1 only; the order is each
            model's own).
    """

    epochs: int = 20
    batch_size: int = 50
    learning_rate: float = 0.1
    schedule: Schedule = "linear"
    weight_decay: float = 1e-3
    order: Order = "shared"
    order_seed: int = 0
    step_policy: StepPolicy = "fixed"

    def __post_init__(self) -> None:
        check_at_least(self.epochs, 1, "epochs")
        check_at_least(self.batch_size, 1, "batch_size")
        check_positive(self.learning_rate, "learning_rate")
        check_choice(self.schedule, ("linear", "constant", "cosine"), "schedule")
        check_choice(self.order, ("shared", "per-model"), "order")
        check_choice(self.step_policy, STEP_POLICIES, "step_policy")
        check_seed(self.order_seed)
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be >= 0, got {self.weight_decay}")

    @property
    def shares_order(self) -> bool:
        """Whether all models see the same examples at each step."""
        return self.order == "shared" and self.step_policy == "fixed"

    def rates(
        self, step: int, n_steps: Float[Tensor, " orders"]
    ) -> Float[Tensor, " orders"]:
        """Return the step sizes of step `step` of n_steps; zero from the end on."""
        done = step / n_steps
        if self.schedule == "linear":
            share = 1 - done
        elif self.schedule == "cosine":
            share = 0.5 * (1 + torch.cos(math.pi * done))
        else:
            share = torch.ones_like(done)
        return self.learning_rate * torch.where(done < 1, share, 0.0)

    @property
    @abstractmethod
    def moments(self) -> int:
        """How many copies of the parameters the optimiser remembers or makes."""

    @abstractmethod
    def state(self, values: Stack) -> list[Stack]:
        """Return the optimiser's memory before the first step."""

    @abstractmethod
    def update(
        self,
        values: Stack,
        slopes: Stack,
        state: list[Stack],
        rates: Tensor,
        number: Tensor,
    ) -> None:
        """Take a step in place.

        Args:
            values: Parameters.
            slopes: Gradients of J; may be overwritten.
            state: The optimiser's memory.
            rates: Step sizes, one for all models or one for each.
            number: The step's number, from 1.
        """

    @abstractmethod
    def moved(
        self,
        value: Tensor,
        slope: Tensor,
        memory: tuple[Tensor, ...],
        rate: Tensor,
        number: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return what `update` makes of one tensor, as a function to differentiate.

        Args:
            value: Parameters.
            slope: Gradient of J.
            memory: The optimiser's memory of these parameters.
            rate: Step size.
            number: The step's number, from 1.

        Returns:
            New parameters, then the new memory.
        """


@dataclass(frozen=True, kw_only=True)
class SGD(Procedure):
    """Stochastic gradient descent with momentum.

    v <- momentum v + g, theta <- theta - rate v (or rate (g + momentum v), Nesterov).

    Attributes:
        momentum: Heavy-ball momentum in [0, 1).
        nesterov: Whether the step looks ahead.
    """

    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")

    @property
    def moments(self) -> int:
        """A velocity."""
        return 1

    def state(self, values: Stack) -> list[Stack]:
        """Return zero velocities."""
        return [[torch.zeros_like(value) for value in values]]

    def update(
        self,
        values: Stack,
        slopes: Stack,
        state: list[Stack],
        rates: Tensor,
        number: Tensor,
    ) -> None:
        """Take a step in place."""
        (velocity,) = state
        torch._foreach_mul_(velocity, self.momentum)
        torch._foreach_add_(velocity, slopes)
        if self.nesterov:
            torch._foreach_add_(slopes, velocity, alpha=self.momentum)
        _move(values, slopes if self.nesterov else velocity, rates)

    def moved(
        self,
        value: Tensor,
        slope: Tensor,
        memory: tuple[Tensor, ...],
        rate: Tensor,
        number: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the step of one tensor."""
        velocity = memory[0] * self.momentum + slope
        step = velocity
        if self.nesterov:
            step = torch.add(slope, velocity, alpha=self.momentum)
        return torch.addcmul(value, step, -rate), velocity


@dataclass(frozen=True, kw_only=True)
class Adam(Procedure):
    """Adam, its weight decay a part of the objective.

    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, theta <- theta - rate
    (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon).

    Attributes:
        betas: b1 and b2, in [0, 1).
        epsilon: Added to the denominator, > 0.

    References:
        Kingma and Ba 2015, Adam, algorithm 1.
    """

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.epsilon, "epsilon")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must lie in [0, 1), got {self.betas}")

    @property
    def moments(self) -> int:
        """Two moments, the step made of them, and what it is made through."""
        return 5

    def state(self, values: Stack) -> list[Stack]:
        """Return zero moments."""
        return [[torch.zeros_like(value) for value in values] for _ in range(2)]

    def update(
        self,
        values: Stack,
        slopes: Stack,
        state: list[Stack],
        rates: Tensor,
        number: Tensor,
    ) -> None:
        """Take a step in place."""
        (first, second), (one, two) = state, self.betas
        torch._foreach_lerp_(first, slopes, 1 - one)
        torch._foreach_mul_(second, two)
        torch._foreach_addcmul_(second, slopes, slopes, value=1 - two)
        scale = torch._foreach_sqrt(second)
        torch._foreach_mul_(scale, (1 - two**number) ** -0.5)
        torch._foreach_add_(scale, self.epsilon)
        steps = torch._foreach_div(first, scale)
        _move(values, steps, rates / (1 - one**number))

    def moved(
        self,
        value: Tensor,
        slope: Tensor,
        memory: tuple[Tensor, ...],
        rate: Tensor,
        number: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the step of one tensor."""
        one, two = self.betas
        first = torch.lerp(memory[0], slope, 1 - one)
        second = torch.addcmul(memory[1] * two, slope, slope, value=1 - two)
        scale = _root(second) * (1 - two**number) ** -0.5 + self.epsilon
        rate = rate / (1 - one**number)
        return torch.addcmul(value, first / scale, -rate), first, second


def _move(values: Stack, steps: Iterable[Tensor], rates: Tensor) -> None:
    for value, step in zip(values, steps, strict=True):
        value.addcmul_(step, -rates.view(-1, *[1] * (value.ndim - 1)))


def _root(squares: Tensor) -> Tensor:
    """Return the square root; where its argument is zero, as of a constant.

    A slope that is zero moves the root by |slope|, times a first moment of zero.
    """
    there = squares > 0
    return torch.where(there, torch.where(there, squares, 1.0).sqrt(), 0.0)

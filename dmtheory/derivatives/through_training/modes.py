"""The two ways through a training: tangents forward, adjoints backward."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jacrev, jvp, vmap

from dmtheory.checks import check_at_least
from dmtheory.derivatives.averages.by_models import contracted
from dmtheory.derivatives.through_training.steps import Steps, Unrollable
from dmtheory.training.checkpoints import backwards, few_snapshots

Directions = Float[Tensor, "models directions train"]
Found = Float[Tensor, "models directions targets"]


@runtime_checkable
class Mode(Protocol):
    """A way of accumulating derivatives through a training."""

    def chunk(self, steps: Steps, n_directions: int, n_targets: int) -> int:
        """Return how many models are differentiated together."""
        ...

    def derivatives(
        self, problem: Unrollable, steps: Steps, directions: Directions | None
    ) -> Found:
        """Return derivatives of all outputs along directions, by default unit ones."""
        ...


# Bytes that the models of a chunk may take together.
MEMORY = 2**27


def fewest_products(n_directions: int, n_targets: int, memory: int = MEMORY) -> Mode:
    """Return the mode that takes fewer products: the fewer of directions and targets.

    Args:
        n_directions: Directions that are asked for, of each model.
        n_targets: Targets.
        memory: Bytes that the models of a chunk may take together.

    Returns:
        The mode.
    """
    mode = ForwardMode if n_directions < n_targets else ReverseMode
    return mode(memory=memory)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseMode:
    """Adjoints of every target, pulled back from the last step to the first.

    All weights at once, for about as many Hessian-vector products a step as there are
    targets. Few states are kept; those between them are made anew.

    Attributes:
        memory: Bytes that the models of a chunk may take together; at least one model
            and one target whatever it is.
        snapshots: States kept of each model; by default `few_snapshots`: the square
            root of twice the steps, for long trainings a cube root. Fewer take more
            steps again.
    """

    memory: int = MEMORY
    snapshots: int | None = None

    def __post_init__(self) -> None:
        check_at_least(self.memory, 1, "memory")
        if self.snapshots is not None:
            check_at_least(self.snapshots, 1, "snapshots")

    def chunk(self, steps: Steps, n_directions: int, n_targets: int) -> int:
        """Return how many models fit the memory with all their targets."""
        room = self._kept(steps) + n_targets * steps.bytes_a_way
        return max(1, self.memory // room)

    def derivatives(
        self, problem: Unrollable, steps: Steps, directions: Directions | None
    ) -> Found:
        """Return derivatives of all outputs along directions, by default unit ones."""
        n_models = len(steps.first()[0])
        room = self.memory // n_models - self._kept(steps)
        block = max(1, room // steps.bytes_a_way)
        places = torch.arange(problem.description.n_targets).split(block)
        found = [self._sweep(problem, steps, place) for place in places]
        return contracted(torch.cat(found, 1), directions)

    def _sweep(
        self, problem: Unrollable, steps: Steps, targets: Tensor
    ) -> Float[Tensor, "models targets train"]:
        """Return the derivatives of some targets by every weight."""

        def outputs(params: Tensor) -> Tensor:
            return problem.target_outputs(params)[targets]

        walk = backwards(
            steps.advanced, steps.first(), steps.n_steps, self._snapshots(steps)
        )
        _, state = next(walk)
        slopes = vmap(jacrev(outputs))(steps.parameters(state))
        adjoints = steps.state(slopes)
        gathered = slopes.new_zeros(*slopes.shape[:2], problem.description.n_train)
        for step, state in walk:
            adjoints = steps.pulled(state, step, adjoints, gathered)
        return steps.by_weights(gathered)

    def _snapshots(self, steps: Steps) -> int:
        return self.snapshots or few_snapshots(steps.n_steps)

    def _kept(self, steps: Steps) -> int:
        """Return the bytes of a model's snapshots."""
        state = sum(entry[0].numel() * entry.element_size() for entry in steps.first())
        return self._snapshots(steps) * state


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardMode:
    """Tangents along every direction, pushed from the first step to the last.

    All targets at once, for one Hessian-vector product a step and direction.

    Attributes:
        memory: Bytes that the models of a chunk may take together; at least one model
            and one direction whatever it is.
    """

    memory: int = MEMORY

    def __post_init__(self) -> None:
        check_at_least(self.memory, 1, "memory")

    def chunk(self, steps: Steps, n_directions: int, n_targets: int) -> int:
        """Return how many models fit the memory with all their directions."""
        return max(1, self.memory // (n_directions * steps.bytes_a_way))

    def derivatives(
        self, problem: Unrollable, steps: Steps, directions: Directions | None
    ) -> Found:
        """Return derivatives of all outputs along directions, by default unit ones."""
        n_models, n_train = len(steps.first()[0]), problem.description.n_train
        if directions is None:
            directions = torch.eye(n_train, dtype=torch.float64).expand(
                n_models, -1, -1
            )
        block = max(1, self.memory // (n_models * steps.bytes_a_way))
        parts = directions.split(block, 1)
        return torch.cat([self._sweep(problem, steps, part) for part in parts], 1)

    def _sweep(
        self, problem: Unrollable, steps: Steps, directions: Directions
    ) -> Found:
        moves = steps.moves(directions)
        state = steps.first()
        # The initialisation does not know the weights.
        start = steps.parameters(state)[:, None].expand(-1, directions.shape[1], -1)
        tangents = steps.state(torch.zeros_like(start))
        for step in range(steps.n_steps):
            state, tangents = steps.pushed(state, step, tangents, moves)

        def risen(params: Tensor, way: Tensor) -> Tensor:
            return jvp(problem.target_outputs, (params,), (way,))[1]

        ends = steps.parameters(state), steps.parameters(tangents)
        return vmap(vmap(risen, (None, 0)))(*ends)

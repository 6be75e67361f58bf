"""What a problem must offer to be differentiated through its training."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.problems.base import Problem
from dmtheory.training.step import State


@runtime_checkable
class Steps(Protocol):
    """The training of some models, step by step; `training.Unrolled` is one.

    A state is a tuple of tensors [models, ...], of parameters and of what the optimiser
    remembers. Adjoints and tangents of a state have an axis of targets or directions
    behind the models. The weights act through effective weights, of which there are as
    many.
    """

    @property
    def n_steps(self) -> int:
        """How many steps training takes."""
        ...

    @property
    def bytes_a_way(self) -> int:
        """About what one more adjoint or tangent of one model takes in a step."""
        ...

    def first(self) -> State:
        """Return the state before the first step."""
        ...

    def state(self, params: Float[Tensor, "*models params"]) -> State:
        """Return the state of flat parameters, the optimiser's memory zero."""
        ...

    def parameters(self, state: State) -> Float[Tensor, "*models params"]:
        """Return the flat parameters of a state, or of its adjoints or tangents."""
        ...

    def advanced(self, state: State, step: int) -> State:
        """Return the state after a step; the one before it stays as it is."""
        ...

    def pulled(
        self,
        state: State,
        step: int,
        adjoints: State,
        gathered: Float[Tensor, "models targets train"],
    ) -> State:
        """Pull adjoints back to the state before a step.

        What the step's effective weights gain is added to `gathered`.
        """
        ...

    def pushed(
        self,
        state: State,
        step: int,
        tangents: State,
        moves: Float[Tensor, "models directions train"],
    ) -> tuple[State, State]:
        """Return the state after a step, and its tangents."""
        ...

    def by_weights(
        self, gathered: Float[Tensor, "models targets train"]
    ) -> Float[Tensor, "models targets train"]:
        """Return derivatives by the weights from those by the effective weights."""
        ...

    def moves(
        self, directions: Float[Tensor, "models directions train"]
    ) -> Float[Tensor, "models directions train"]:
        """Return how the effective weights move along directions of the weights."""
        ...


@runtime_checkable
class Unrollable(Problem, Protocol):
    """A problem whose training can be differentiated step by step."""

    def unrolled(
        self,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
    ) -> Steps:
        """Return the training of one model a row."""
        ...

    def target_outputs(
        self, params: Float[Tensor, " params"]
    ) -> Float[Tensor, " targets"]:
        """Return f at every target, a smooth function of the parameters."""
        ...

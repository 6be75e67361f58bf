"""The derivative at trained models, one weight vector and one seed each."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.engines.base import Engine
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress


@runtime_checkable
class ModelDerivatives(Protocol):
    """A way of differentiating the output of one trained model by its weights."""

    @property
    def name(self) -> str:
        """The way in words, for results."""
        ...

    @property
    def quantity(self) -> str:
        """What an estimand calls it."""
        ...

    def at_models(
        self,
        problem: Problem,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
        directions: Float[Tensor, "models directions train"] | None = None,
        *,
        engine: Engine | None = None,
        progress: Progress | None = None,
    ) -> Float[Tensor, "models directions targets"]:
        """Return d f(Phi(seed; w)) / dw along directions of each model's weights.

        Args:
            problem: The training map and its outputs.
            weights: One weight vector a model.
            seeds: One training seed a model.
            directions: Directions in weight space; by default every example's own
                weight.
            engine: Where trainings run; in this process if None.
            progress: Called with the number of models that were just finished.

        Returns:
            Derivatives per unit of weight; positive: it raises the output.
        """
        ...


def contracted(
    derivatives: Float[Tensor, "models targets train"],
    directions: Float[Tensor, "models directions train"] | None,
) -> Float[Tensor, "models directions targets"]:
    """Return derivatives along directions from those by every weight."""
    if directions is None:
        return derivatives.mT
    return directions @ derivatives.mT

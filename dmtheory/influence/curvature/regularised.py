"""What the operators share: the losses' curvature plus the regulariser's."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from dmtheory.influence.curvature.regulariser import Regulariser


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regularised(ABC):
    """C = D + R'' at one parameter vector.

    Attributes:
        name: The rule's name.
        params: Where.
        regulariser: R''.
    """

    name: str
    params: Float[Tensor, " params"]
    regulariser: Regulariser

    @abstractmethod
    def data_product(
        self, vectors: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "params sides"]:
        """Return D times each column."""

    def product(
        self, vectors: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "params sides"]:
        """Return C times each column."""
        return self.data_product(vectors) + self.regulariser.product(vectors)

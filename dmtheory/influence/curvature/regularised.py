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
        """Return C times each column.

        Raises:
            ValueError: If the columns have another length than the parameters.
        """
        check_sides(vectors, len(self.params))
        return self.data_product(vectors) + self.regulariser.product(vectors)


def check_sides(vectors: Tensor, n_params: int) -> None:
    """Raise ValueError unless vectors are columns, one entry a parameter.

    Some rules cut columns into layers, and would take the wrong part of longer ones.

    Raises:
        ValueError: If they are not.
    """
    if vectors.ndim != 2 or len(vectors) != n_params:
        raise ValueError(
            f"vectors must have shape ({n_params}, sides), one entry a parameter, got "
            f"{tuple(vectors.shape)}"
        )

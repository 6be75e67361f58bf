"""What a design is: a frozen description from which every row can be recomputed."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor


@runtime_checkable
class Design(Protocol):
    """Which weight vectors are trained, with which seeds.

    Row k comes from (design, k) alone: the same on any machine, in any order and any
    block size, so masks are never stored or sent.
    """

    @property
    def n_models(self) -> int:
        """How many rows the design has."""
        ...

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the weight vector of each row."""
        ...

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the training seed of each row."""
        ...

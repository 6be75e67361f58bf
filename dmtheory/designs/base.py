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

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return the exact covariance of the weight vector of one row.

        Over the randomness of a random design, and over rows drawn uniformly where a
        design enumerates its weight vectors.
        """
        ...


@runtime_checkable
class SubsetDesign(Design, Protocol):
    """A design of random subsets, from which a datamodel can be fitted."""

    @property
    def seed(self) -> int:
        """The experiment's seed."""
        ...

    def inclusion(self, n_train: int) -> float:
        """Return the probability p that an example is in a row's subset."""
        ...

    def null_directions(self, n_train: int) -> Float[Tensor, "directions train"]:
        """Return an orthonormal basis of the directions in which masks never vary.

        Coefficients along them are not identified; none under independent inclusion,
        one for each total that the design holds fixed.
        """
        ...

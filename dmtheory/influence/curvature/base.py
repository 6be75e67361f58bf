"""What a rule of curvature is, and the operator that it makes at trained parameters."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.curvature.regulariser import Regulariser
from dmtheory.problems.base import DifferentiableProblem


@runtime_checkable
class CurvatureOperator(Protocol):
    """C = D + R'': the curvature of J at one parameter vector, by its products.

    D is the curvature of the losses, R'' the regulariser's.
    """

    @property
    def name(self) -> str:
        """The rule's name in results."""
        ...

    @property
    def params(self) -> Float[Tensor, " params"]:
        """Where it is taken."""
        ...

    @property
    def regulariser(self) -> Regulariser:
        """R''."""
        ...

    def data_product(
        self, vectors: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "params sides"]:
        """Return D times each column."""
        ...

    def product(
        self, vectors: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "params sides"]:
        """Return C times each column."""
        ...

    def dense(self) -> Float[Tensor, "params params"]:
        """Return C."""
        ...


@runtime_checkable
class LowRank(CurvatureOperator, Protocol):
    """An operator whose data part is U U' with few columns U."""

    @property
    def rank(self) -> int:
        """Columns of U: examples times outputs at most."""
        ...

    def factor(self) -> Float[Tensor, "params rank"]:
        """Return U."""
        ...


@runtime_checkable
class Diagonalised(CurvatureOperator, Protocol):
    """An operator whose damped inverse is known in closed form."""

    def inverse_product(
        self, vectors: Float[Tensor, "params sides"], damping: float
    ) -> Float[Tensor, "params sides"]:
        """Return (C + damping I)^-1 times each column."""
        ...


@runtime_checkable
class Curvature(Protocol):
    """A rule that gives the curvature of J(.; w) at a parameter vector."""

    @property
    def name(self) -> str:
        """The rule's name in results."""
        ...

    def matrix(
        self,
        problem: DifferentiableProblem,
        params: Float[Tensor, " params"],
        scaled_weights: Float[Tensor, " train"],
        jacobian: Float[Tensor, "train classes params"],
    ) -> Float[Tensor, "params params"]:
        """Return the curvature, the regulariser's included.

        Args:
            problem: Losses and penalty.
            params: Where.
            scaled_weights: w_j / W.
            jacobian: Derivative of the predictions.

        Returns:
            A symmetric matrix in units of J.
        """
        ...

    def operator(
        self,
        problem: DifferentiableProblem,
        params: Float[Tensor, " params"],
        scaled_weights: Float[Tensor, " train"],
        *,
        budget: Budget = ...,
    ) -> CurvatureOperator:
        """Return the same curvature as an operator, which works in chunks.

        Args:
            problem: Losses and penalty.
            params: Where.
            scaled_weights: w_j / W.
            budget: Memory of the chunks.
        """
        ...

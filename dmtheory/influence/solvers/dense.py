"""Direct solvers on the matrix itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dmtheory.influence.curvature.base import CurvatureOperator
from dmtheory.influence.solvers.base import (
    Damped,
    Prepared,
    Solution,
    direct,
    measured,
)


@dataclass(frozen=True, slots=True)
class Dense:
    """Cholesky's factor of A: cost params^3 / 3 beside the matrix itself."""

    @property
    def name(self) -> str:
        """The solver's name in results."""
        return "Cholesky"

    def prepare(self, system: Damped) -> Prepared:
        """Factor A.

        Returns:
            A function of B.

        Raises:
            ValueError: If A is not positive definite.
        """
        matrix = system.dense()
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if bool(failed):
            raise system.negative("its Cholesky factor does not exist")

        def solve(sides: Tensor) -> Solution:
            found = torch.cholesky_solve(sides, factor)
            return direct(measured(matrix.matmul, sides, found), self.name)

        return solve


@dataclass(frozen=True, slots=True)
class Eigendecomposition:
    """Eigenvalues and eigenvectors of C: about ten factors' cost, for any damping."""

    @property
    def name(self) -> str:
        """The solver's name in results."""
        return "eigendecomposition"

    def prepare(self, system: Damped) -> Prepared:
        """Decompose C.

        Returns:
            A function of B.

        Raises:
            ValueError: If A is not positive definite.
        """
        matrix = system.operator.dense()
        values, vectors = torch.linalg.eigh(matrix)
        return self._prepared(system, matrix, values, vectors)

    def path(
        self, operator: CurvatureOperator, dampings: Sequence[float], sides: Tensor
    ) -> list[Solution]:
        """Return the solution at each damping, from one decomposition.

        Raises:
            ValueError: If one of them leaves negative or zero curvature.
        """
        matrix = operator.dense()
        values, vectors = torch.linalg.eigh(matrix)
        systems = [Damped(operator=operator, damping=damping) for damping in dampings]
        return [self._prepared(s, matrix, values, vectors)(sides) for s in systems]

    def _prepared(
        self, system: Damped, matrix: Tensor, values: Tensor, vectors: Tensor
    ) -> Prepared:
        shifted = values + system.damping
        if bool(shifted[0] <= 0):
            raise system.negative(f"its smallest eigenvalue is {shifted[0].item():.2e}")

        def solve(sides: Tensor) -> Solution:
            found = vectors @ ((vectors.T @ sides) / shifted[:, None])

            def product(x: Tensor) -> Tensor:
                return matrix @ x + system.damping * x

            return direct(measured(product, sides, found), self.name)

        return solve

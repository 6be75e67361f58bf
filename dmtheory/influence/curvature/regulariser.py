"""The regulariser's curvature R'', which no example carries."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, jvp, vmap

from dmtheory.problems.base import DifferentiableProblem


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regulariser:
    """R'' at a parameter vector.

    Attributes:
        curve: The function v -> R'' v.
        diagonal: Its diagonal where it has nothing else, as |theta|^2 has; else None.
    """

    curve: Callable[[Tensor], Tensor]
    diagonal: Float[Tensor, " params"] | None

    def product(
        self, vectors: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "params sides"]:
        """Return R'' times each column."""
        if self.diagonal is not None:
            return self.diagonal[:, None] * vectors
        return vmap(self.curve, 1, 1)(vectors)

    def shifts(self, damping: float) -> Float[Tensor, " params"]:
        """Return the diagonal of R'' + damping I.

        Raises:
            ValueError: If it is not a positive diagonal.
        """
        if self.diagonal is None:
            raise ValueError(
                "penalty must have a diagonal second derivative for this solver: use "
                "Dense() or ConjugateGradients()"
            )
        shifts = self.diagonal + damping
        if bool((shifts <= 0).any()):
            raise ValueError(
                "damping must make damping + the penalty's curvature > 0 for this "
                f"solver, got {shifts.min().item():g}: raise damping, or use Dense()"
            )
        return shifts


def regulariser_of(
    problem: DifferentiableProblem, params: Float[Tensor, " params"]
) -> Regulariser:
    """Return R'' at a parameter vector."""

    def curve(vector: Tensor) -> Tensor:
        return jvp(grad(problem.penalty), (params,), (vector,))[1]

    # A diagonal matrix times a vector is its diagonal times the vector, for a vector
    # of irrational entries only then.
    diagonal = curve(torch.ones_like(params))
    probe = torch.arange(1, len(params) + 1).to(params).sqrt()
    expected, found = diagonal * probe, curve(probe)
    near = (found - expected).abs() <= 1e-12 * (found.abs() + expected.abs())
    return Regulariser(curve=curve, diagonal=diagonal if bool(near.all()) else None)

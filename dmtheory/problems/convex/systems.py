"""How the Newton systems of many models are solved by factors and inverses."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmtheory.problems.convex.objective import Objective, Params

Factor = Float[Tensor, "models params params"]


@runtime_checkable
class NewtonSystem(Protocol):
    """A rule that solves H d = -g for every model."""

    def __call__(
        self,
        objective: Objective,
        means: Tensor,
        gradient: Params,
        near: Bool[Tensor, " models"],
    ) -> Params:
        """Return d, NaN where H is singular.

        Args:
            objective: The models.
            means: The family's means where they are.
            gradient: g there.
            near: Models that have hardly moved since the last call, whose H of then
                serves as well.
        """
        ...


@dataclass(kw_only=True, eq=False)
class Factors:
    """Cholesky factors of each model's Hessian, kept from one step to the next.

    Of one group of models: a new group needs factors of its own.
    """

    _kept: Factor | None = None

    def __call__(
        self,
        objective: Objective,
        means: Tensor,
        gradient: Params,
        near: Bool[Tensor, " models"],
    ) -> Params:
        """Return d, from the kept factors of models that are near."""
        if self._kept is None:
            self._kept = cholesky(objective.hessians(means))
        elif not bool(near.all()):
            # Of all, near or not: how a product rounds depends on its shape.
            found = cholesky(objective.hessians(means))
            self._kept = torch.where(near[:, None, None], self._kept, found)
        return _solved(self._kept, gradient)


def with_factors(factor: Factor) -> NewtonSystem:
    """Return a rule for Hessians that are the same wherever Newton's method is."""

    def solve(
        objective: Objective,
        means: Tensor,
        gradient: Params,
        near: Bool[Tensor, " models"],
    ) -> Params:
        return _solved(factor, gradient)

    return solve


def with_inverses(inverse: Float[Tensor, "models params params"]) -> NewtonSystem:
    """Return the same for Hessians that may be singular, from inverses of theirs."""

    def solve(
        objective: Objective,
        means: Tensor,
        gradient: Params,
        near: Bool[Tensor, " models"],
    ) -> Params:
        return _like(gradient, -inverse @ _columns(gradient))

    return solve


def cholesky(matrices: Factor) -> Factor:
    """Return lower Cholesky factors, NaN where a matrix is not positive definite."""
    factor, failed = torch.linalg.cholesky_ex(matrices)
    if bool(failed.any()):
        factor = factor.masked_fill((failed > 0)[:, None, None], torch.nan)
    return factor


def _solved(factor: Factor, gradient: Params) -> Params:
    return _like(gradient, -torch.cholesky_solve(_columns(gradient), factor))


def _columns(params: Params) -> Float[Tensor, "models params 1"]:
    return params.flatten(0, 1).T[:, :, None]


def _like(params: Params, columns: Float[Tensor, "models params 1"]) -> Params:
    return columns[:, :, 0].T.unflatten(0, params.shape[:2])

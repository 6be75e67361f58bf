"""Predictions an example at a time: what lets influence work through data in chunks.

A differentiable problem answers for all examples at once. Its row access, where it has
one, answers for any of them: a Jacobian then costs one backward pass an output and
example, not one over all examples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jacfwd, jacrev, vjp, vmap

from dmtheory.influence.at_models.budget import Budget
from dmtheory.problems.base import DifferentiableProblem

Predict = Callable[[Tensor], Tensor]


@runtime_checkable
class Rowwise(DifferentiableProblem, Protocol):
    """A differentiable problem that also predicts some of its examples alone."""

    def features(self, device: torch.device) -> Tensor:
        """Return the training examples' features, the first axis over examples."""
        ...

    def predictions_at(
        self, params: Float[Tensor, " params"], x: Tensor
    ) -> Float[Tensor, "rows classes"]:
        """Return the predictions at features, each row's from its own features."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Training examples of a problem, for predictions of some of them.

    Attributes:
        problem: The problem.
        n_rows: How many examples these are.
        x: Their features; None where the problem only predicts all at once.
        predict: A function of (params, features); unused without features.
    """

    problem: DifferentiableProblem
    n_rows: int
    x: Tensor | None
    predict: Callable[[Tensor, Tensor], Tensor] | None

    def chunks(self, size: int) -> Iterator[tuple[slice, Predict]]:
        """Yield slices of at most `size` examples, each with its predictions.

        All at once where the problem has no row access.
        """
        size = self.n_rows if self.x is None else max(size, 1)
        for start in range(0, self.n_rows, size):
            rows = slice(start, min(start + size, self.n_rows))
            yield rows, self._predictions(rows)

    def some(self, rows: Tensor) -> "Rows":
        """Return some of the examples.

        Raises:
            TypeError: If the problem has no row access.
        """
        if self.x is None:
            raise TypeError(
                "problem must predict some of its examples alone for batches, but "
                f"{type(self.problem).__name__} has no `features` and `predictions_at`:"
                " use all examples at once"
            )
        return Rows(
            problem=self.problem, n_rows=len(rows), x=self.x[rows], predict=self.predict
        )

    def predictions(
        self, params: Float[Tensor, " params"], budget: Budget
    ) -> Float[Tensor, "rows classes"]:
        """Return the predictions, as many at a time as fit."""
        size = budget.tile(self.n_rows, 1, self.entries_a_row(params))[0]
        with torch.no_grad():
            return torch.cat([predict(params) for _, predict in self.chunks(size)])

    def jacobian(
        self, params: Float[Tensor, " params"], rows: slice
    ) -> Float[Tensor, "rows classes params"]:
        """Return the derivative of the predictions at some examples."""
        if self.x is None:
            whole = self._predictions(rows)
            n_outputs = whole(params).numel()
            differentiate = jacfwd if len(params) <= n_outputs else jacrev
            return differentiate(whole)(params)
        return vmap(jacrev(self._one), (None, 0))(params, self.x[rows])

    def pulled(
        self,
        params: Float[Tensor, " params"],
        cotangents: Float[Tensor, "rows classes columns"],
        rows: slice,
    ) -> Float[Tensor, "rows columns params"]:
        """Return c' dz_j/dtheta for each column c of each example's cotangents.

        One backward pass a column and example, where the problem has row access.
        """
        if self.x is None:
            jacobian = self.jacobian(params, rows)
            return torch.einsum("jcr,jcp->jrp", cotangents, jacobian)

        def one(x: Tensor, columns: Tensor) -> Tensor:
            pull = vjp(lambda theta: self._one(theta, x), params)[1]
            return vmap(lambda column: pull(column)[0], 1)(columns)

        return vmap(one)(self.x[rows], cotangents)

    def entries_a_row(self, params: Float[Tensor, " params"]) -> int:
        """Return how many numbers one example's forward pass keeps for the backward."""
        if self.x is None:
            return self.problem.predictions(params).shape[1]
        two, one = (self._kept(params, self.x[:n]) for n in (2, 1))
        return max(two - one, self.x[0].numel(), 1)

    def _one(self, params: Tensor, x: Tensor) -> Tensor:
        assert self.predict is not None
        return self.predict(params, x[None])[0]

    def _predictions(self, rows: slice) -> Predict:
        if self.x is None or self.predict is None:
            return self.problem.predictions
        x, predict = self.x[rows], self.predict
        return lambda params: predict(params, x)

    def _kept(self, params: Tensor, x: Tensor) -> int:
        total = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        assert self.predict is not None
        hooks = torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor)
        with torch.enable_grad(), hooks:
            self.predict(params.detach().requires_grad_(), x)
        return total


def rows_of(problem: DifferentiableProblem, device: torch.device) -> Rows:
    """Return a problem's examples, with row access where it has that."""
    n_rows = problem.description.n_train
    if not isinstance(problem, Rowwise):
        return Rows(problem=problem, n_rows=n_rows, x=None, predict=None)
    return Rows(
        problem=problem,
        n_rows=n_rows,
        x=problem.features(device),
        predict=problem.predictions_at,
    )


def rows_with_weight(
    problem: DifferentiableProblem, weights: Float[Tensor, " train"]
) -> tuple[Rows, Tensor]:
    """Return the examples that have any weight, and their numbers.

    All where the problem predicts all at once.
    """
    rows = rows_of(problem, weights.device)
    present = weights.nonzero()[:, 0]
    if rows.x is None or len(present) in {0, rows.n_rows}:
        return rows, torch.arange(rows.n_rows, device=weights.device)
    return rows.some(present), present


def first_rows(problem: DifferentiableProblem, device: torch.device, n: int) -> Rows:
    """Return the first examples; all where the problem predicts all at once."""
    rows = rows_of(problem, device)
    return rows if rows.x is None else rows.some(torch.arange(n))

"""Curvature as products with vectors, summed over chunks of examples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, jvp, vjp, vmap

from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.at_models.rows import Predict, Rows
from dmtheory.influence.curvature.regularised import Regularised
from dmtheory.influence.curvature.regulariser import Regulariser

# Columns of a square that are computed at a time: the rest follows by symmetry.
_TILE = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OuterProduct(Regularised):
    """C = sum_j K_j' B_j B_j' K_j + R'', K_j = dz_j/dtheta.

    Attributes:
        rows: The examples.
        roots: B_j, the weights w_j / W included.
        budget: Memory of the chunks.
    """

    rows: Rows
    roots: Float[Tensor, "rows classes columns"]
    budget: Budget

    @property
    def rank(self) -> int:
        """Columns of U: examples times columns of their roots."""
        return self.rows.n_rows * self.roots.shape[2]

    def data_product(
        self, vectors: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "params sides"]:
        """Return the losses' curvature times each column: forward, then back."""

        def curve(rows: slice, predict: Predict) -> Callable[[Tensor], Tensor]:
            roots = self.roots[rows]
            pull = vjp(predict, self.params)[1]

            def along(vector: Tensor) -> Tensor:
                moved = jvp(predict, (self.params,), (vector,))[1]
                seen = torch.einsum("jcr,jc->jr", roots, moved)
                return pull(torch.einsum("jcr,jr->jc", roots, seen))[0]

            return along

        return _summed(self.rows, self.params, self.budget, curve, vectors)

    def dense(self) -> Float[Tensor, "params params"]:
        """Return C, from the Jacobian of some examples at a time."""
        upper = self.params.new_zeros(len(self.params), len(self.params))
        for part in self._factors():
            for start in range(0, len(self.params), _TILE):
                tile = part[:, start : start + _TILE]
                upper[start : start + _TILE, start:].addmm_(tile.T, part[:, start:])
        return with_regulariser(upper.triu() + upper.triu(1).T, self.regulariser)

    def factor(self) -> Float[Tensor, "params rank"]:
        """Return U with U U' the losses' curvature."""
        return torch.cat(list(self._factors())).T

    def diagonal(self) -> Float[Tensor, " params"]:
        """Return the diagonal of the losses' curvature."""
        return torch.stack([part.square().sum(0) for part in self._factors()]).sum(0)

    def batches(self, size: int, generator: torch.Generator) -> "list[OuterProduct]":
        """Return estimates of C from disjoint random batches; their mean is C."""
        return [
            replace(self, rows=self.rows.some(chosen), roots=scale**0.5 * roots)
            for chosen, scale in random_batches(self.rows, size, generator)
            for roots in [self.roots[chosen]]
        ]

    def _factors(self) -> Iterator[Float[Tensor, "columns params"]]:
        """Yield U' of some examples at a time."""
        n_columns = self.roots.shape[2]
        size = self.budget.rows(4 * n_columns * len(self.params))
        for rows, _ in self.rows.chunks(size):
            yield self.rows.pulled(self.params, self.roots[rows], rows).flatten(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossHessian(Regularised):
    """C = sum_j s_j d^2 l_j + R'', s_j = w_j / W, by forward over reverse.

    Attributes:
        rows: The examples.
        origin: Their predictions z_j there.
        slopes: s_j dl_j/dz_j.
        blocks: s_j d^2 l_j/dz_j^2.
        budget: Memory of the chunks.
    """

    rows: Rows
    origin: Float[Tensor, "rows classes"]
    slopes: Float[Tensor, "rows classes"]
    blocks: Float[Tensor, "rows classes classes"]
    budget: Budget

    def data_product(
        self, vectors: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "params sides"]:
        """Return the losses' Hessian times each column.

        At the origin each loss has the derivatives of its second-order polynomial in
        the prediction, which knows no label.
        """

        def curve(rows: slice, predict: Predict) -> Callable[[Tensor], Tensor]:
            origin, slopes, blocks = (
                value[rows] for value in (self.origin, self.slopes, self.blocks)
            )

            def polynomial(theta: Tensor) -> Tensor:
                step = predict(theta) - origin
                bent = torch.einsum("jcd,jd->jc", blocks, step)
                return (step * (slopes + 0.5 * bent)).sum()

            return lambda vector: jvp(grad(polynomial), (self.params,), (vector,))[1]

        return _summed(self.rows, self.params, self.budget, curve, vectors)

    def dense(self) -> Float[Tensor, "params params"]:
        """Return C, a column at a time."""
        columns = self.data_product(torch.eye(len(self.params)).to(self.params))
        return with_regulariser(0.5 * (columns + columns.T), self.regulariser)

    def diagonal(self) -> Float[Tensor, " params"]:
        """Return the diagonal of the losses' Gauss-Newton matrix, which is cheap."""
        size = self.budget.rows(4 * self.blocks.shape[1] * len(self.params))
        total = torch.zeros_like(self.params)
        for rows, _ in self.rows.chunks(size):
            jacobian = self.rows.jacobian(self.params, rows)
            total += torch.einsum("jcp,jcp->p", jacobian, self.blocks[rows] @ jacobian)
        return total

    def batches(self, size: int, generator: torch.Generator) -> "list[LossHessian]":
        """Return estimates of C from disjoint random batches; their mean is C."""
        return [
            replace(
                self,
                rows=self.rows.some(chosen),
                origin=self.origin[chosen],
                slopes=scale * self.slopes[chosen],
                blocks=scale * self.blocks[chosen],
            )
            for chosen, scale in random_batches(self.rows, size, generator)
        ]


def random_batches(
    rows: Rows, size: int, generator: torch.Generator
) -> list[tuple[Tensor, float]]:
    """Return disjoint random batches of examples, as equal as can be.

    Each comes with the factor that makes the mean of the batches' sums the whole sum.
    """
    order = torch.randperm(rows.n_rows, generator=generator)
    n_batches = max(1, rows.n_rows // size)
    return [(chosen, float(n_batches)) for chosen in order.tensor_split(n_batches)]


def _summed(
    rows: Rows,
    params: Float[Tensor, " params"],
    budget: Budget,
    curve: Callable[[slice, Predict], Callable[[Tensor], Tensor]],
    vectors: Float[Tensor, "params sides"],
) -> Float[Tensor, "params sides"]:
    """Return the sum over chunks of examples of a product with each column."""
    # A vector a row: so are its pieces contiguous, one a parameter.
    sides = vectors.T.contiguous()
    size, width = budget.tile(
        rows.n_rows,
        len(sides),
        rows.entries_a_row(params),
        near=params.device.type == "cpu",
    )
    total = torch.zeros_like(sides)
    for part, predict in rows.chunks(size):
        along = vmap(curve(part, predict))
        for block, sums in zip(sides.split(width), total.split(width), strict=True):
            sums.add_(along(block))
    return total.T


def with_regulariser(
    matrix: Float[Tensor, "params params"], regulariser: Regulariser
) -> Float[Tensor, "params params"]:
    """Return the losses' curvature, which may be overwritten, plus R''."""
    if regulariser.diagonal is not None:
        matrix.diagonal().add_(regulariser.diagonal)
        return matrix
    return matrix + regulariser.product(torch.eye(len(matrix)).to(matrix))

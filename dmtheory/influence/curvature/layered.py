"""Curvature of networks of linear layers, through the layers' sums.

The same matrices as in `operators`, in a fraction of the operations: a matrix takes
about examples x params^2 of them, whatever the number of outputs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.at_models.rows import Rows
from dmtheory.influence.curvature.layers import Layer, Layers
from dmtheory.influence.curvature.operators import random_batches, with_regulariser
from dmtheory.influence.curvature.regularised import Regularised


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayeredOuterProduct(Regularised):
    """C = sum_j K_j' B_j B_j' K_j + R'', K_j through the layers' sums.

    Attributes:
        rows: The examples.
        layers: Their layers.
        roots: B_j' dz_j/dsums, transposed.
        budget: Memory of the chunks.
    """

    rows: Rows
    layers: Layers
    roots: Float[Tensor, "rows sums columns"]
    budget: Budget

    @property
    def rank(self) -> int:
        """Columns of U: examples times columns of their roots."""
        return self.rows.n_rows * self.roots.shape[2]

    def data_product(
        self, vectors: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "params sides"]:
        """Return the losses' curvature times each column."""
        parts = []
        for block in vectors.split(_width(self.layers, self.budget), 1):
            seen = self.roots.mT @ self.layers.forward(block)
            parts.append(self.layers.backward(self.roots @ seen, len(self.params)))
        return torch.cat(parts, 1)

    def dense(self) -> Float[Tensor, "params params"]:
        """Return C."""
        couplings = self.roots @ self.roots.mT
        matrix = _assembled(self.layers, couplings, None, self.params, self.budget)
        return with_regulariser(matrix, self.regulariser)

    def factor(self) -> Float[Tensor, "params rank"]:
        """Return U with U U' the losses' curvature."""
        found = self.params.new_empty(len(self.params), *self.roots.shape[::2])
        for layer in self.layers.layers:
            own = self.roots[:, layer.sums]
            found[layer.places] = torch.einsum("jor,ji->oijr", own, layer.inputs)
        return found.flatten(1)

    def diagonal(self) -> Float[Tensor, " params"]:
        """Return the diagonal of the losses' curvature."""
        return _diagonal(self.layers, self.roots.square().sum(2), len(self.params))

    def batches(
        self, size: int, generator: torch.Generator
    ) -> "list[LayeredOuterProduct]":
        """Return estimates of C from disjoint random batches; their mean is C."""
        return [
            replace(
                self,
                rows=self.rows.some(chosen),
                layers=self.layers.some(chosen),
                roots=scale**0.5 * self.roots[chosen],
            )
            for chosen, scale in random_batches(self.rows, size, generator)
        ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayeredHessian(Regularised):
    """C = sum_j s_j d^2 l_j + R'' through the layers' sums.

    A layer's inputs move with the sums before it, which couples its own parameters,
    through the losses' slopes by its sums, with those of the layers before.

    Attributes:
        rows: The examples.
        layers: Their layers.
        slopes: s_j dl_j/dsums.
        couplings: s_j d^2 l_j/dsums^2, the sums taken as free.
        convex: The part of it without the network's own second derivative.
        budget: Memory of the chunks.
    """

    rows: Rows
    layers: Layers
    slopes: Float[Tensor, "rows sums"]
    couplings: Float[Tensor, "rows sums sums"]
    convex: Float[Tensor, "rows sums sums"]
    budget: Budget

    def data_product(
        self, vectors: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "params sides"]:
        """Return the losses' Hessian times each column."""
        width = _width(self.layers, self.budget)
        return torch.cat([self._block(v) for v in vectors.split(width, 1)], 1)

    def dense(self) -> Float[Tensor, "params params"]:
        """Return C."""
        matrix = _assembled(
            self.layers, self.couplings, self.slopes, self.params, self.budget
        )
        return with_regulariser(matrix, self.regulariser)

    def diagonal(self) -> Float[Tensor, " params"]:
        """Return the diagonal of the losses' Gauss-Newton matrix."""
        own = self.convex.diagonal(dim1=1, dim2=2)
        return _diagonal(self.layers, own, len(self.params))

    def batches(self, size: int, generator: torch.Generator) -> "list[LayeredHessian]":
        """Return estimates of C from disjoint random batches; their mean is C."""
        return [
            replace(
                self,
                rows=self.rows.some(chosen),
                layers=self.layers.some(chosen),
                slopes=scale * self.slopes[chosen],
                couplings=scale * self.couplings[chosen],
                convex=scale * self.convex[chosen],
            )
            for chosen, scale in random_batches(self.rows, size, generator)
        ]

    def _block(
        self, vectors: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "params sides"]:
        sums = self.layers.forward(vectors)
        slopes = self.couplings @ sums
        moving = [
            (layer.moved, self.slopes[:, layer.sums], layer.places)
            for layer in self.layers.layers
            if layer.moved is not None
        ]
        for moved, own, places in moving:
            # A layer's parameters move while the sums before it move its inputs.
            pulled = torch.tensordot(own, vectors[places[:, : moved.shape[1]]], 1)
            slopes += moved.mT @ pulled
        found = self.layers.backward(slopes, len(self.params))
        for moved, own, places in moving:
            inputs = moved @ sums
            found[places[:, : moved.shape[1]]] += torch.tensordot(
                own, inputs, ([0], [0])
            )
        return found


def _width(layers: Layers, budget: Budget) -> int:
    """Return how many columns are taken at a time."""
    n_rows, _, n_sums = layers.predictions.shape
    return budget.rows(6 * n_rows * n_sums)


def _diagonal(
    layers: Layers, own: Float[Tensor, "rows sums"], n_params: int
) -> Float[Tensor, " params"]:
    found = own.new_empty(n_params)
    for layer in layers.layers:
        found[layer.places] = own[:, layer.sums].T @ layer.inputs.square()
    return found


def _assembled(
    layers: Layers,
    couplings: Float[Tensor, "rows sums sums"],
    slopes: Float[Tensor, "rows sums"] | None,
    params: Tensor,
    budget: Budget,
) -> Float[Tensor, "params params"]:
    """Return the losses' curvature, a pair of layers and an output at a time."""
    matrix = params.new_empty(len(params), len(params))
    for number, late in enumerate(layers.layers):
        for early in layers.layers[: number + 1]:
            for columns, block, first in _strips(
                late, early, couplings, slopes, budget
            ):
                rows = late.places[first:].flatten()
                matrix[rows[:, None], columns] = block
                matrix[columns[:, None], rows] = block.T
    return matrix


def _strips(
    late: Layer,
    early: Layer,
    couplings: Tensor,
    slopes: Tensor | None,
    budget: Budget,
) -> Iterator[tuple[Tensor, Float[Tensor, "rows columns"], int]]:
    """Yield the columns of one output of a layer against the outputs of a later one.

    Of a layer with itself only the outputs from that one on: the rest is symmetric.
    """
    size = budget.rows(4 * late.places.numel())
    for q, columns in enumerate(early.places):
        first = q if late is early else 0
        total: Tensor | None = None
        for start in range(0, len(couplings), size):
            rows = slice(start, start + size)
            pair = couplings[rows, late.sums, early.sums.start + q][:, first:]
            left = pair[:, :, None] * late.inputs[rows, None, :]
            if slopes is not None and late.moved is not None:
                # Where the early output moves the late layer's inputs.
                by = late.moved[rows, :, early.sums.start + q]
                own = slopes[rows, late.sums][:, first:]
                left[:, :, : by.shape[1]] += own[:, :, None] * by[:, None, :]
            part = left.flatten(1).T @ early.inputs[rows]
            total = part if total is None else total + part
        assert total is not None
        yield columns, total, first

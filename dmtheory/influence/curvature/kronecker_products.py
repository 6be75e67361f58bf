"""Kronecker products, a layer each, in their eigenbases."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.influence.curvature.regularised import (
    Regularised,
    check_sides,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """One layer's curvature in its eigenbasis, (A x B) diag(values) (A x B)'.

    Attributes:
        pieces: Where its weight, then its bias if it has one, are in the parameters.
        outputs: Eigenvectors B of the outputs' factor.
        inputs: Eigenvectors A of the inputs' factor, a last row for the bias.
        values: Eigenvalues, in units of J.
    """

    pieces: tuple[slice, ...]
    outputs: Float[Tensor, "outputs outputs"]
    inputs: Float[Tensor, "inputs inputs"]
    values: Float[Tensor, "outputs inputs"]

    def mapped(
        self, vectors: Float[Tensor, "params sides"], factors: Tensor
    ) -> list[Float[Tensor, "piece sides"]]:
        """Return vectors times given eigenvalues, a piece each."""
        n_outputs = len(self.outputs)
        blocks = [vectors[p].unflatten(0, (n_outputs, -1)) for p in self.pieces]
        sizes = [block.shape[1] for block in blocks]
        turned = torch.einsum(
            "oa,ois,ib->abs", self.outputs, torch.cat(blocks, 1), self.inputs
        )
        back = torch.einsum(
            "oa,abs,ib->ois", self.outputs, turned * factors[:, :, None], self.inputs
        )
        return [block.flatten(0, 1) for block in back.split(sizes, 1)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KroneckerProducts(Regularised):
    """C = one Kronecker product a layer + R'', with its damped inverse.

    Attributes:
        layers: All layers with trained parameters.
    """

    layers: tuple[Layer, ...]

    def data_product(
        self, vectors: Float[Tensor, "params sides"]
    ) -> Float[Tensor, "params sides"]:
        """Return the losses' curvature times each column."""
        return self._mapped(vectors, lambda values: values)

    def dense(self) -> Float[Tensor, "params params"]:
        """Return C."""
        return self.product(torch.eye(len(self.params)).to(self.params))

    def inverse_product(
        self, vectors: Float[Tensor, "params sides"], damping: float
    ) -> Float[Tensor, "params sides"]:
        """Return (C + damping I)^-1 times each column.

        Raises:
            ValueError: If the penalty's curvature is no multiple of the identity, or
                is zero with the damping, or the columns have another length than the
                parameters.
        """
        check_sides(vectors, len(self.params))
        shifts = self.regulariser.shifts(damping)
        if bool((shifts != shifts[0]).any()):
            raise ValueError(
                "penalty must weigh all parameters alike for the inverse of "
                f"{self.name}: use ConjugateGradients()"
            )
        return self._mapped(vectors, lambda values: 1.0 / (values + shifts[0]))

    def _mapped(
        self, vectors: Tensor, change: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "params sides"]:
        found = torch.zeros_like(vectors)
        for layer in self.layers:
            parts = layer.mapped(vectors, change(layer.values))
            for piece, part in zip(layer.pieces, parts, strict=True):
                found[piece] = part
        return found

"""The objective of many penalised linear models that share their examples."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.problems.convex.families import Family

Params = Float[Tensor, "features outputs models"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Objective:
    r"""J_b(Theta) = sum_j s_jb l(Theta' x_j, y_j) + ridge/2 |Theta|^2, a model b.

    s_jb = w_jb / W_b are the scaled weights. Arrays have the models last, so that
    every product with the examples is one matrix product for all models.

    Attributes:
        x: Examples, shared by all models.
        y: Encoded classes or responses.
        family: The loss.
        scaled: Scaled weights.
        ridge: Penalty.
        products: `feature_products` of the examples, where many Hessians are wanted.
    """

    x: Float[Tensor, "train features"]
    y: Float[Tensor, "train outputs 1"]
    family: Family
    scaled: Float[Tensor, "train models"]
    ridge: float
    products: Float[Tensor, "train pairs"] | None = None
    # New memory costs more than the product that it holds.
    _scratch: dict[torch.Size, Tensor] = field(default_factory=dict, repr=False)

    def predictions(self, params: Params) -> Float[Tensor, "train outputs models"]:
        """Return Theta' x_j of every example and model."""
        return (self.x @ params.flatten(1)).unflatten(1, params.shape[1:])

    def values(
        self, params: Params, z: Float[Tensor, "train outputs models"]
    ) -> Float[Tensor, " models"]:
        """Return J at parameters whose predictions are z."""
        data = (self.scaled * self.family.losses(z, self.y)).sum(0)
        return data + 0.5 * self.ridge * params.square().sum((0, 1))

    def size(self, params: Params) -> Float[Tensor, " models"]:
        """Return |D Theta| with D the features' root mean squares.

        It is in the units of predictions, whatever the units of the features, and
        sees the directions too that no example tells from zero.
        """
        return (params * self._spread).square().sum((0, 1)).sqrt()

    @cached_property
    def unit(self) -> Float[Tensor, ""]:
        """What counts as one in predictions: a logit, or the responses' size."""
        one = self.x.new_ones(())
        return self.y.square().mean().sqrt() if self.family.quadratic else one

    @cached_property
    def _spread(self) -> Float[Tensor, "features 1 1"]:
        return self.x.square().mean(0).sqrt()[:, None, None]

    def gradient(
        self, params: Params, means: Float[Tensor, "train outputs models"]
    ) -> Params:
        """Return dJ/dTheta where the family's means are these."""
        slopes = (means - self.y).mul_(self.scaled[:, None])
        return self._back(slopes).add_(params, alpha=self.ridge)

    def curve(
        self, means: Float[Tensor, "train outputs models"], direction: Params
    ) -> Params:
        """Return the Hessian-vector product of every model."""
        moved = self.family.curve_(means, self._moved(direction))
        weighted = moved.mul_(self.scaled[:, None])
        return self._back(weighted).add_(direction, alpha=self.ridge)

    def _moved(self, direction: Params) -> Float[Tensor, "train outputs models"]:
        """Return the direction's predictions, where those of the last one were."""
        moved = self._scratch.get(direction.shape)
        if moved is None:
            shape = len(self.x), *direction.shape[1:]
            moved = self._scratch[direction.shape] = self.x.new_empty(shape)
        torch.mm(self.x, direction.flatten(1), out=moved.flatten(1))
        return moved

    @cached_property
    def single(self) -> "Objective":
        """The same models in single precision."""
        x, y, scaled = self.x.float(), self.y.float(), self.scaled.float()
        return replace(self, x=x, y=y, scaled=scaled, products=None, _scratch={})

    def hessians(
        self, means: Float[Tensor, "train outputs models"]
    ) -> Float[Tensor, "models params params"]:
        """Return the Hessian of every model; parameters run over features first.

        Its (a, b) block is sum_j s_j l_ab(z_j) x_j x_j'.
        """
        n_features, n_outputs = self.x.shape[1], self.family.n_outputs
        n_models = means.shape[2]
        if n_outputs == 1:
            only = self._moments(self.family.block(means, 0, 0) * self.scaled)
            only.diagonal(dim1=1, dim2=2).add_(self.ridge)
            return only
        full = means.new_empty(n_models, n_features, n_outputs, n_features, n_outputs)
        for a in range(n_outputs):
            for b in range(a, n_outputs):
                block = self._moments(self.family.block(means, a, b) * self.scaled)
                full[:, :, a, :, b] = block
                full[:, :, b, :, a] = block
        matrix = full.flatten(3, 4).flatten(1, 2)
        matrix.diagonal(dim1=1, dim2=2).add_(self.ridge)
        return matrix

    def _moments(
        self, weights: Float[Tensor, "train models"]
    ) -> Float[Tensor, "models features features"]:
        """Return sum_j weights_j x_j x_j' of every model, from one matrix product.

        The products x_j x_j' are shared by all models; without a table of them, and
        where it would be larger than the matrices that it serves, each model has a
        product of its own.
        """
        n_features, n_models = self.x.shape[1], weights.shape[1]
        if n_models < n_features / 2:
            return torch.stack([(self.x * w[:, None]).T @ self.x for w in weights.T])
        table = feature_products(self.x) if self.products is None else self.products
        return (weights.T @ table)[:, _place(n_features, self.x.device)]

    def _back(self, z: Float[Tensor, "train outputs models"]) -> Params:
        return (self.x.T @ z.flatten(1)).unflatten(1, z.shape[1:])


def feature_products(
    x: Float[Tensor, "train features"],
) -> Float[Tensor, "train pairs"]:
    """Return the distinct entries of x_j x_j' of every example."""
    first, second = torch.triu_indices(x.shape[1], x.shape[1], device=x.device)
    return x[:, first] * x[:, second]


def _place(n_features: int, device: torch.device) -> Int64[Tensor, "features features"]:
    """Return where the distinct entries stand in a symmetric matrix."""
    first, second = torch.triu_indices(n_features, n_features, device=device)
    place = torch.empty(n_features, n_features, dtype=torch.int64, device=device)
    number = torch.arange(len(first), device=device)
    place[first, second] = number
    place[second, first] = number
    return place

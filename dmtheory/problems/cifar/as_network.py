"""An image problem as a `Network`: what influence and K-FAC differentiate."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dmtheory.data.dataset import Dataset
from dmtheory.problems.base import Description
from dmtheory.problems.cifar.checking import n_classes
from dmtheory.problems.network import Network
from dmtheory.training.images.pixels import Pixels
from dmtheory.training.images.recipe import Recipe
from dmtheory.training.procedures import SGD


def as_network(
    description: Description, data: Dataset, recipe: Recipe, output: str
) -> "Described":
    """Return losses and outputs of a recipe's network in float64.

    Args:
        description: The problem's own.
        data: Images as bytes.
        recipe: A recipe without random moves and batch statistics.
        output: Name of the output function.

    Returns:
        A network whose flat parameters are those that the recipe trains.
    """
    return Described(
        make_module=_FromBytes(recipe, n_classes(data)),
        data=data,
        training=SGD(
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            learning_rate=recipe.groups[0].rate,
            weight_decay=recipe.groups[0].weight_decay,
            order="per-model",
        ),
        loss=recipe.loss,
        output=output,
        normalisation=description.normalisation,
        described=description,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Described(Network):
    """A network that goes by another problem's description.

    Attributes:
        described: The other problem's.
    """

    described: Description

    @property
    def description(self) -> Description:
        """The other problem's."""
        return self.described

    def make_ready(self, device: torch.device) -> None:
        """Make what is kept on a device, outside of any torch.func transform."""
        self._make(device)


@dataclass(frozen=True, slots=True)
class _FromBytes:
    """Makes the recipe's network, with the scaling of bytes before it."""

    recipe: Recipe
    n_classes: int

    def __call__(self) -> nn.Module:
        network = self.recipe.network(self.n_classes)
        return nn.Sequential(_Scaling(self.recipe.pixels), network)


class _Scaling(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, pixels: Pixels) -> None:
        super().__init__()
        for name in ("mean", "std"):
            values = torch.tensor(getattr(pixels, name), dtype=torch.float64)
            self.register_buffer(name, values[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(self.mean.dtype) - self.mean) / self.std

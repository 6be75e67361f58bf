"""What all models of a problem share on a device: images, classes, the module."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.func import functional_call

from dmtheory.designs.seeds import Purpose, model_seeds
from dmtheory.training.images.pixels import Scale, channels_last, moved
from dmtheory.training.images.precision import Precision
from dmtheory.training.images.recipe import Recipe
from dmtheory.training.images.whitening import whitening_filters

# Images that the whitening's patches are taken from.
_FIRST = 5000


@dataclass(frozen=True, kw_only=True, eq=False)
class Stock:
    """The shared part of training on a device.

    Attributes:
        recipe: The recipe.
        precision: Of parameters and layers.
        module: The network in training mode; its tensors are replaced in every call.
        names: Its trained parameters.
        images: Training images, channels last.
        classes: Their classes.
        ids: Their stable numbers.
        n_classes: How many classes the network tells apart.
        scale: How bytes are scaled.
    """

    recipe: Recipe
    precision: Precision
    module: nn.Module
    names: tuple[str, ...]
    images: UInt8[Tensor, "train side side 3"]
    classes: Int64[Tensor, " train"]
    ids: Int64[Tensor, " train"]
    n_classes: int
    scale: Scale

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.images.device

    @property
    def side(self) -> int:
        """Side of an image in pixels."""
        return self.images.shape[1]

    @cached_property
    def group_places(self) -> tuple[tuple[int, ...], ...]:
        """The places of each group's parameters among the trained ones."""
        parameters = [self.module.get_parameter(name) for name in self.names]
        return tuple(
            tuple(
                place
                for place, (name, parameter) in enumerate(
                    zip(self.names, parameters, strict=True)
                )
                if group.has(name, parameter)
            )
            for group in self.recipe.groups
        )

    def batch_loss(
        self,
        values: dict[str, Tensor],
        rows: Int64[Tensor, " batch"],
        moves: Tensor,
        factors: Float[Tensor, " batch"],
        weights: Float[Tensor, " batch"] | None,
    ) -> Float[Tensor, ""]:
        """Return one model's estimate of the data term of J from a batch."""
        x = self._batch(rows, moves)
        logits = functional_call(self.module, values, (x, weights))
        losses = self.recipe.loss(logits.to(factors.dtype), self.classes[rows])
        return (losses * factors).sum()

    def _batch(self, rows: Tensor, moves: Tensor) -> Tensor:
        cutout = self.recipe.moves.cutout
        return in_layout(moved(self.scale, self.images, rows, moves, cutout=cutout))


def in_layout(x: Tensor) -> Tensor:
    """Return a batch or filters in the layout that the device's convolutions want."""
    if x.device.type == "cuda":
        return x.contiguous(memory_format=torch.channels_last)
    return x.contiguous()


def make_stock(
    recipe: Recipe,
    precision: Precision,
    images: UInt8[Tensor, "train 3 side side"],
    classes: Int64[Tensor, " train"],
    ids: Int64[Tensor, " train"],
    *,
    n_classes: int,
    device: torch.device,
) -> Stock:
    """Return what models of a problem share, on a device.

    Raises:
        ValueError: If a trained parameter is in no group or in several.
    """
    shown = channels_last(images)
    with _seeded(0):
        module = recipe.network(n_classes).to(precision.kept).train()
    # Not trained, so the same for all models.
    if (layer := getattr(module, "whitening", None)) is not None:
        scale = recipe.pixels.on(shown.device, torch.float64)
        filters = whitening_filters(scale(shown[:_FIRST]), layer.weight.shape[2])
        layer.weight.data.copy_(filters)
    module = module.to(device)
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = in_layout(parameter.data)
    stock = Stock(
        recipe=recipe,
        precision=precision,
        module=module,
        names=tuple(n for n, p in module.named_parameters() if p.requires_grad),
        images=shown.to(device),
        classes=classes.to(device),
        ids=ids.to(device),
        n_classes=n_classes,
        scale=recipe.pixels.on(device, precision.kept),
    )
    placed = sorted(place for group in stock.group_places for place in group)
    if placed != list(range(len(stock.names))):
        raise ValueError(
            f"groups of recipe {recipe.name!r} must hold every trained parameter "
            f"once, got {len(placed)} places for {len(stock.names)}"
        )
    return stock


def initial(stock: Stock, seed: Int64[Tensor, " 1"]) -> Float[Tensor, " params"]:
    """Return a model's initial trained parameters, on the CPU.

    The global generator is seeded and restored afterwards.
    """
    draw = int(model_seeds(0, seed, Purpose.INITIALISATION))
    with _seeded(draw):
        module = stock.recipe.network(stock.n_classes)
    found = [module.get_parameter(name).detach().flatten() for name in stock.names]
    return torch.cat(found).to(stock.precision.kept)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from a seed; what torch's generator was is restored."""
    with torch.random.fork_rng(devices=[]):
        # This generator alone: seeding all devices costs more than a module.
        torch.default_generator.manual_seed(seed)
        yield

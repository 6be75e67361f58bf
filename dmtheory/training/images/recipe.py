"""What a recipe fixes: network, schedule, rules of the steps, moves of the images."""

from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_at_least, check_choice, check_positive
from dmtheory.training.images.augmentation import Moves
from dmtheory.training.images.networks import ImageNetwork
from dmtheory.training.images.pixels import Pixels
from dmtheory.training.images.updates import Momentum, Update
from dmtheory.training.losses import CrossEntropy

Part = Literal["all", "filters", "whitening", "norms", "head"]
PARTS = ("all", "filters", "whitening", "norms", "head")


@runtime_checkable
class Shape(Protocol):
    """How a step size moves in the course of training."""

    def __call__(self, done: Float[Tensor, " steps"]) -> Float[Tensor, " steps"]:
        """Return the share of the highest step size, by the share of steps done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Triangle:
    """Rises from zero to a peak, and falls to zero at the end, both linearly.

    Attributes:
        peak: Share of the training at which it is highest, in (0, 1).
    """

    peak: float

    def __call__(self, done: Float[Tensor, " steps"]) -> Float[Tensor, " steps"]:
        """Return the share of the peak's step size."""
        return torch.minimum(done / self.peak, (1 - done) / (1 - self.peak))


@dataclass(frozen=True, slots=True, kw_only=True)
class Falling:
    """Falls linearly to zero.

    Attributes:
        until: Share of the training at which it is zero, and stays so.
    """

    until: float = 1.0

    def __call__(self, done: Float[Tensor, " steps"]) -> Float[Tensor, " steps"]:
        """Return the share of the first step size."""
        return (1 - done / self.until).clamp_min(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Parameters that take their steps alike.

    Attributes:
        part: Which parameters: "filters" of convolutions, the "whitening" layer's
            shift, shifts and factors of "norms", the "head", or "all".
        update: The rule.
        rate: Highest step size, for the gradient of the mean loss.
        shape: How it moves.
        weight_decay: R(theta) = weight_decay/2 |theta|^2 of these parameters; its
            gradient goes through the rule like any other.
    """

    part: Part
    update: Update
    rate: float
    shape: Shape
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_choice(self.part, PARTS, "part")
        check_positive(self.rate, "rate")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be >= 0, got {self.weight_decay}")

    def has(self, name: str, parameter: Tensor) -> bool:
        """Return whether a parameter is one of these."""
        return self.part in {"all", part_of(name, parameter)}


def part_of(name: str, parameter: Tensor) -> Part:
    """Return what a parameter is."""
    if name.startswith("whitening"):
        return "whitening"
    if name.startswith("head"):
        return "head"
    return "filters" if parameter.ndim == 4 else "norms"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A way that a test image is shown.

    Attributes:
        share: Its weight in the mean of logits.
        shift: Pixels that it moves along both axes.
        mirrored: Whether it is then mirrored left to right.
    """

    share: float = 1.0
    mirrored: bool = False
    shift: int = 0

    @property
    def move(self) -> tuple[int, int, int, int, int]:
        """The same as `pixels.moved` takes it, which mirrors before it shifts."""
        right = -self.shift if self.mirrored else self.shift
        return int(self.mirrored), self.shift, right, 0, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training procedure for images.

    Attributes:
        name: For people.
        network: What is trained.
        pixels: How bytes are scaled.
        moves: What happens to an image at a visit.
        views: How a test image is shown; logits are averaged.
        loss: Of the logits.
        groups: Who takes which steps; every trained parameter is in one.
        epochs: Passes over the images.
        batch_size: Slots of a step.
        drop_last: Whether what is left of an epoch after whole batches is not visited
            in it; a subset smaller than a batch is visited all the same.
    """

    name: str
    network: ImageNetwork
    pixels: Pixels
    moves: Moves
    views: tuple[View, ...]
    loss: CrossEntropy
    groups: tuple[Group, ...]
    epochs: int
    batch_size: int
    drop_last: bool

    def __post_init__(self) -> None:
        check_at_least(self.epochs, 1, "epochs")
        check_at_least(self.batch_size, 1, "batch_size")
        total = sum(view.share for view in self.views)
        if abs(total - 1) > 1e-9:
            raise ValueError(f"views must have shares that sum to 1, got {total:g}")

    def smaller(
        self,
        *,
        width: int | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
    ) -> "Recipe":
        """Return the recipe for a rehearsal: narrower, shorter, in smaller batches.

        Step sizes of momentum rules go with the batch; Muon's do not depend on it.

        Args:
            width: Channels of the first layer.
            epochs: Passes over the images.
            batch_size: Slots of a step.
        """
        batch_size = self.batch_size if batch_size is None else batch_size
        ratio = batch_size / self.batch_size
        network = self.network
        if width is not None:
            check_at_least(width, 1, "width")
            network = replace(network, width=width)  # type: ignore[type-var]
        groups = tuple(
            replace(group, rate=group.rate * ratio)
            if isinstance(group.update, Momentum)
            else group
            for group in self.groups
        )
        return replace(
            self,
            network=network,
            groups=groups,
            epochs=self.epochs if epochs is None else epochs,
            batch_size=batch_size,
        )

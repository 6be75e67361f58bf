"""What a trained model says of test images: outputs at targets, loss and accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.func import functional_call

from dmtheory.data.dataset import Dataset
from dmtheory.problems.outputs import Output
from dmtheory.problems.quality import Quality
from dmtheory.training.images.pixels import channels_last, moved
from dmtheory.training.images.stock import Stock, in_layout

# Test images at a time.
_AT_ONCE = 2000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TestSet:
    """Test images on a device, channels last.

    Attributes:
        images: All of them: they tell loss and accuracy.
        classes: Their classes.
        targets: Those that outputs are measured at; None where these are all, so that
            nothing is predicted twice.
        target_classes: Their classes.
    """

    images: UInt8[Tensor, "images side side 3"]
    classes: Int64[Tensor, " images"]
    targets: UInt8[Tensor, "targets side side 3"] | None
    target_classes: Int64[Tensor, " targets"]

    @staticmethod
    def of(data: Dataset, device: torch.device) -> "TestSet":
        """Return a data set's held-out images and targets on a device."""
        apart = data.x_target is not data.x_held_out
        return TestSet(
            images=channels_last(data.x_held_out).to(device),
            classes=data.y_held_out.to(device),
            targets=channels_last(data.x_target).to(device) if apart else None,
            target_classes=data.y_target.to(device),
        )


def measured(
    stock: Stock,
    module: nn.Module,
    values: Mapping[str, Tensor],
    test: TestSet,
    output: Output,
) -> tuple[Float[Tensor, " targets"], Float[Tensor, "1 qualities"]]:
    """Return a model's outputs at the targets, and its loss and accuracy.

    Args:
        stock: Says the views and the precision.
        module: The network in evaluation mode.
        values: The model's parameters and buffers.
        test: The images.
        output: The output function.

    Returns:
        Both in float64, on the device.
    """
    seen = logits(stock, module, values, test.images).double()
    quality = Quality.of_classes(seen[None], test.classes)
    if test.targets is not None:
        seen = logits(stock, module, values, test.targets).double()
    return output(seen, test.target_classes), quality.columns()


@torch.no_grad()
def logits(
    stock: Stock,
    module: nn.Module,
    values: Mapping[str, Tensor],
    images: UInt8[Tensor, "images side side 3"],
) -> Float[Tensor, "images classes"]:
    """Return the mean of a model's logits over the recipe's views.

    Args:
        stock: Says the views and the precision.
        module: The network in evaluation mode.
        values: The model's parameters and buffers.
        images: Test images, channels last.

    Returns:
        Logits, in float32 at least.
    """
    precision, parts = stock.precision, []
    for rows in torch.arange(len(images), device=images.device).split(_AT_ONCE):
        total = torch.zeros((), dtype=precision.kept, device=images.device)
        for view in stock.recipe.views:
            moves = torch.tensor(view.move, device=images.device).expand(len(rows), 5)
            x = in_layout(moved(stock.scale, images, rows, moves, cutout=0))
            with precision.computing(images.device):
                found = functional_call(module, dict(values), (x,))
            total = total + view.share * found.to(precision.kept)
        parts.append(total)
    return torch.cat(parts)

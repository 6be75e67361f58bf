"""From stored bytes to what a network takes: moved, cut out and normalised."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64, Integer, UInt8
from torch import Tensor

from dmtheory.checks import check_choice

Padding = Literal["mean", "reflect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """How bytes are scaled, and what is beyond an image's edge.

    Both are constants of the problem: no weight moves them.

    Attributes:
        mean: Of each channel, in bytes.
        std: Of each channel, in bytes.
        padding: "mean" is the channels' mean, 0 once scaled; "reflect" mirrors.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    padding: Padding = "mean"

    def __post_init__(self) -> None:
        check_choice(self.padding, ("mean", "reflect"), "padding")

    def on(self, device: torch.device, dtype: torch.dtype) -> "Scale":
        """Return the constants on a device: a captured step cannot bring them there."""
        mean, std = (
            torch.tensor(values, dtype=dtype, device=device)
            for values in (self.mean, self.std)
        )
        return Scale(mean=mean, std=std, padding=self.padding)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scale:
    """The constants of `Pixels` on a device.

    Attributes:
        mean: Of each channel, in bytes.
        std: Of each channel, in bytes.
        padding: "mean" or "reflect".
    """

    mean: Float[Tensor, " 3"]
    std: Float[Tensor, " 3"]
    padding: Padding

    def __call__(self, images: UInt8[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
        """Return scaled images, channels last."""
        return (images.to(self.mean.dtype) - self.mean) / self.std


def moved(
    scale: Scale,
    images: UInt8[Tensor, "all side side 3"],
    rows: Int64[Tensor, " batch"],
    moves: Integer[Tensor, "batch 5"],
    *,
    cutout: int,
) -> Float[Tensor, "batch 3 side side"]:
    """Return images mirrored, shifted, with a square cut out, and scaled.

    Args:
        scale: The scale and the padding.
        images: All images, channels last.
        rows: Which of them.
        moves: For each whether it is mirrored left to right, the shift of rows and
            columns in pixels, and the first row and column of the square.
        cutout: Side of the square that is set to the mean; 0 for none.

    Returns:
        Scaled images, a view of channels-last memory.
    """
    side = images.shape[1]
    flip, down, right, top, left = moves.long().unbind(1)
    place = torch.arange(side, device=images.device)
    y, x = place + down[:, None], place + right[:, None]
    if scale.padding == "reflect":
        y, x = (_reflected(v, side - 1) for v in (y, x))
    inside_y, inside_x = ((v >= 0) & (v < side) for v in (y, x))
    y, x = y.clamp(0, side - 1), x.clamp(0, side - 1)
    x = torch.where(flip[:, None] > 0, side - 1 - x, x)
    found = images[rows[:, None, None], y[:, :, None], x[:, None, :]]
    scaled = scale(found)
    shown = inside_y[:, :, None] & inside_x[:, None, :]
    if cutout:
        cut_y, cut_x = (
            (place >= first[:, None]) & (place < first[:, None] + cutout)
            for first in (top, left)
        )
        shown = shown & ~(cut_y[:, :, None] & cut_x[:, None, :])
    return torch.where(shown[..., None], scaled, 0.0).permute(0, 3, 1, 2)


def channels_last(
    images: UInt8[Tensor, "images 3 side side"],
) -> UInt8[Tensor, "images side side 3"]:
    """Return images as they are kept on a device: a pixel's colours side by side."""
    return images.permute(0, 2, 3, 1).contiguous()


def _reflected(place: Tensor, last: int) -> Tensor:
    """Return places mirrored at the first and the last, which are not doubled."""
    return last - (last - place.abs()).abs()

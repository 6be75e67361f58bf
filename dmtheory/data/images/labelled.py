"""Images with their classes, before they are split into roles."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

SIDE = 32
CHANNELS = 3
CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledImages:
    """Some images of a file.

    Attributes:
        images: Red, green, blue; rows and columns; values 0 to 255.
        classes: Whole numbers 0, 1, ...
        rows: Each image's number in its file, from 0: its stable id.
        lossy: Whether they were stored with loss (JPEG).
    """

    images: UInt8[Tensor, "images channels height width"]
    classes: Int64[Tensor, " images"]
    rows: Int64[Tensor, " images"]
    lossy: bool = False

    def labels(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return one label an image, such as "image 17 (frog)"."""
        pairs = zip(self.rows.tolist(), self.classes.tolist(), strict=True)
        return tuple(f"image {row} ({names[c]})" for row, c in pairs)


def check_classes(classes: Tensor, n_classes: int, place: str) -> None:
    """Raise ValueError unless every class is one of 0, ..., n_classes - 1."""
    wrong = (classes < 0) | (classes >= n_classes)
    if bool(wrong.any()):
        raise ValueError(
            f"{place} must have labels 0 to {n_classes - 1}, got "
            f"{int(classes[wrong][0])}"
        )


def chosen_rows(n_rows: int, n_wanted: int | None, order: Tensor) -> Tensor:
    """Return the numbers of the first wanted images of a random order, ascending.

    All of them where none are named: subsets of different sizes are nested.
    """
    if n_wanted is None:
        return torch.arange(n_rows)
    return order[:n_wanted].sort().values

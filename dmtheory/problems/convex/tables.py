"""Tables of features: what a linear model needs of its examples, in float64."""

from dataclasses import replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_weights
from dmtheory.data.dataset import Dataset
from dmtheory.placement import Placed

_SPLITS = ("train", "target", "held_out")


class Tabular(Placed):
    """A problem whose examples are rows of features, kept in float64 on each device.

    Attributes:
        data: Training examples and targets, of any real type.
        y_dtype: The type of its classes or responses.
    """

    data: Dataset
    y_dtype: ClassVar[torch.dtype] = torch.float64

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Cast the table at once: a later call may be inside of a transform."""
        self.__dict__.update(state)
        self.table(self.data.x_train.device)

    def table(self, device: torch.device) -> Dataset:
        """Return the examples with float64 features on a device."""
        return self.on(device, _table)


def check_table(data: Dataset) -> None:
    """Raise ValueError unless examples are rows of real features."""
    shape = tuple(data.x_train.shape[1:])
    if len(shape) != 1 or 0 in shape:
        raise ValueError(
            f"data must have one row of features an example, got features of shape "
            f"{shape}: flatten them, x.flatten(1)"
        )
    for split in _SPLITS:
        for axis in "xy":
            name = f"{axis}_{split}"
            if getattr(data, name).is_complex():
                raise ValueError(
                    f"data must be real, got {name} of {getattr(data, name).dtype}: "
                    "give real and imaginary parts as features"
                )


def checked_weights(
    weights: Float[Tensor, "models train"], n_train: int
) -> Float[Tensor, "models train"]:
    """Return weights in float64.

    Raises:
        ValueError: Unless they are finite, >= 0 and [models, n_train] with at least
            one model.
    """
    check_weights(weights, n_train)
    if len(weights) == 0:
        raise ValueError(
            f"weights must have at least one row, one a model, got "
            f"{tuple(weights.shape)}"
        )
    return weights.double()


def _table(problem: Tabular, device: torch.device) -> Dataset:
    data = problem.data
    x = {f"x_{split}": getattr(data, f"x_{split}").double() for split in _SPLITS}
    y = {f"y_{split}": getattr(data, f"y_{split}") for split in _SPLITS}
    y = {name: value.to(problem.y_dtype) for name, value in y.items()}
    given = {name: getattr(data, name) for name in (*x, *y)}
    if all(value is given[name] for name, value in (x | y).items()):
        return data.to(device)
    return replace(data, **x, **y).to(device)

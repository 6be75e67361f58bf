"""What a problem keeps on each device: made once, where the weights are.

A problem trains on the device of the weights that it is given.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import torch

Owner = TypeVar("Owner", bound="Placed")
Made = TypeVar("Made")


class Placed:
    """A dataclass whose instances keep things made from their fields.

    Only the fields are pickled: what was made from them is made anew elsewhere.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def on(
        self: Owner, device: torch.device, make: Callable[[Owner, torch.device], Made]
    ) -> Made:
        """Return make(self, device), computed once a device.

        Call it outside of torch.func transforms: a tensor first computed inside one is
        kept as that transform's wrapper.
        """
        kept: dict[tuple[str, str], Any] = self.__dict__.setdefault("_kept", {})
        key = make.__qualname__, str(device)
        if key not in kept:
            kept[key] = make(self, device)
        return kept[key]

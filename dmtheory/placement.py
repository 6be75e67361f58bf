"""What a problem keeps on each device: made once, where the weights are.

A problem trains on the device of the weights that it is given.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

Owner = TypeVar("Owner")


def on_device(
    owner: Owner, device: torch.device, make: Callable[[Owner, torch.device], Any]
) -> Any:
    """Return make(owner, device), computed once an owner and device.

    Call it outside of torch.func transforms: a tensor first computed inside one is
    kept as that transform's wrapper.
    """
    kept: dict[tuple[str, str], Any] = owner.__dict__.setdefault("_on_device", {})
    key = make.__qualname__, str(device)
    if key not in kept:
        kept[key] = make(owner, device)
    return kept[key]

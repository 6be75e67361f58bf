"""In which precision parameters are kept and layers compute."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

_HALVES = (torch.bfloat16, torch.float16)
_WHOLES = (torch.float64, torch.float32)


@dataclass(frozen=True, slots=True)
class Precision:
    """A precision of training.

    Attributes:
        dtype: float64 and float32 are of everything; bfloat16 and float16 are of
            convolutions and products, with parameters, statistics and losses in
            float32.
    """

    dtype: torch.dtype

    def __post_init__(self) -> None:
        if self.dtype not in (*_WHOLES, *_HALVES):
            raise ValueError(
                "dtype must be torch.float64, float32, bfloat16 or float16, got "
                f"{self.dtype}"
            )

    @property
    def kept(self) -> torch.dtype:
        """The precision of parameters."""
        return torch.float32 if self.dtype in _HALVES else self.dtype

    @property
    def loss_scale(self) -> float:
        """What losses are multiplied by before the gradient, and divided by after.

        Gradients of a mean loss would vanish in float16's range.
        """
        return 1024.0 if self.dtype == torch.float16 else 1.0

    @contextmanager
    def computing(self, device: torch.device) -> Iterator[None]:
        """Compute in this precision, by algorithms that do not change between runs."""
        half = self.dtype in _HALVES
        # Casts are not kept between uses: a captured graph would keep stale ones.
        with (
            torch.autocast(
                device.type,
                dtype=self.dtype if half else torch.bfloat16,
                enabled=half,
                cache_enabled=False,
            ),
            torch.backends.cudnn.flags(
                enabled=True,
                benchmark=False,
                deterministic=True,
                # float32 means float32.
                allow_tf32=False,
            ),
        ):
            yield

"""Problems without training whose removals are known."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from samples import a_description
from torch import Tensor

from dmtheory.designs.seeds import Purpose, uniforms
from dmtheory.problems.base import Description


@dataclass(frozen=True, kw_only=True, eq=False)
class Additive:
    """Outputs w'g + bend (w'g)^2 + seed noise; the noise's common part cancels.

    Attributes:
        gains: g, one column a target.
        bend: Curvature; 0 makes every removal additive.
        noise: Size of the noise that depends on the seed alone.
        of_sets: Size of the noise that depends on the seed and on the weights.
    """

    gains: Tensor
    bend: float = 0.0
    noise: float = 1.0
    of_sets: float = 0.0
    seen: Any = None

    @cached_property
    def description(self) -> Description:
        return a_description(*self.gains.shape)

    def respond(self, weights: Tensor, seeds: Tensor) -> Tensor:
        if self.seen is not None:
            self.seen.extend(
                (tuple(w.tolist()), int(s)) for w, s in zip(weights, seeds, strict=True)
            )
        total = weights @ self.gains
        common = uniforms(1, Purpose.DATA, seeds, torch.arange(1)) - 0.5
        n_train = len(self.gains)
        own = uniforms(2, Purpose.DATA, seeds, torch.arange(n_train)) - 0.5
        varied = (weights * own).sum(1, keepdim=True)
        return (
            total + self.bend * total**2 + self.noise * common + self.of_sets * varied
        )

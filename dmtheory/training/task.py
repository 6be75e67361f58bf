"""What is trained: a module, its loss and its examples, as functions of parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call

from dmtheory.placement import Placed
from dmtheory.training.augmentation import Augmentation
from dmtheory.training.losses import Loss
from dmtheory.training.modules import keyed_modules, state_names
from dmtheory.training.order import Visits
from dmtheory.training.procedures import Procedure
from dmtheory.training.randomness import Keys, example_keys
from dmtheory.weighting import Normalisation, normaliser

Params = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(Placed):
    r"""The objective of a network, batch by batch.

    A batch B estimates the data term of J by (n/|B|)/W times the weighted sum of its
    losses, n = N under fixed steps and |S| under proportional ones, so the divisor
    never depends on the weights inside the batch.

    Attributes:
        module: The module, in training mode, on the device.
        names: Its trainable parameters.
        x: Training examples.
        y: Their classes or responses.
        ids: Their stable numbers, on the CPU.
        loss: l_j of the prediction.
        augment: A random change of each example, or none.
        procedure: How it is trained.
        normalisation: "sum" or "count".
    """

    module: nn.Module
    names: tuple[str, ...]
    x: Tensor
    y: Tensor
    ids: Int64[Tensor, " train"]
    loss: Loss
    augment: Augmentation | None
    procedure: Procedure
    normalisation: Normalisation

    @property
    def device(self) -> torch.device:
        """Where the examples and the module are."""
        return self.x.device

    @cached_property
    def state_names(self) -> list[str]:
        """Buffers that training changes, which only one-by-one training allows."""
        return state_names(self.module, self.x[:3])

    @property
    def keyed(self) -> bool:
        """Whether examples draw random numbers in training."""
        return self.augment is not None or bool(keyed_modules(self.module))

    def scales(
        self, weights: Float[Tensor, "models train"]
    ) -> Float[Tensor, " models"]:
        """Return n/W of every model."""
        divisor = normaliser(weights, self.normalisation)
        if self.procedure.step_policy == "proportional":
            return divisor * (weights > 0).sum(1)
        return divisor * weights.shape[1]

    def slot_weights(
        self,
        weights: Float[Tensor, "models train"],
        scales: Float[Tensor, " models"],
        plan: Visits,
        step: int,
    ) -> Float[Tensor, "models batch"]:
        """Return the factor of each slot's loss in this step's estimate of J."""
        rows, filled = plan.rows[step], plan.filled[step]
        if len(rows) == 1:
            here = weights[:, rows[0]]
        else:
            here = weights.gather(1, rows)
        size = filled.sum(1, keepdim=True).clamp_min(1)
        return here * filled * (scales[:, None] / size)

    def keys(
        self, seeds: Int64[Tensor, " models"], plan: Visits, step: int
    ) -> Int64[Tensor, "models batch words"] | None:
        """Return the keys of each slot's randomness, where there is any."""
        if not self.keyed:
            return None
        ids = self.ids.to(plan.rows.device)[plan.rows[step]]
        return example_keys(seeds, plan.epoch[step], ids)

    def batch_loss(
        self,
        params: Params,
        weights: Float[Tensor, " batch"],
        keys: Keys | None,
        x: Tensor,
        y: Tensor,
    ) -> Float[Tensor, ""]:
        """Return the weighted sum of one model's losses over a batch."""
        return (self.losses(params, keys, x, y) * weights).sum()

    def losses(
        self, params: Params, keys: Keys | None, x: Tensor, y: Tensor
    ) -> Float[Tensor, " batch"]:
        """Return one model's loss at each example of a batch, as in training."""
        if self.augment is not None and keys is not None:
            x = self.augment(x, keys[:, 2:])
        return self.loss(self.predict(params, x, keys), y)

    def predict(self, params: Params, x: Tensor, keys: Keys | None) -> Tensor:
        """Return one model's predictions; with keys, as in training."""
        if keys is None:
            return functional_call(self.module, params, (x,))
        drawn = {
            f"{name}.key" if name else "key": keys[:, :2]
            for name in keyed_modules(self.module)
        }
        return functional_call(self.module, {**params, **drawn}, (x,))


def stacked(task: Task, flat: Float[Tensor, "models params"]) -> Params:
    """Return flat parameter vectors as one tensor a parameter, [models, *shape]."""
    like = {name: task.module.get_parameter(name) for name in task.names}
    found = unflattened(like, flat)
    return {name: value.contiguous() for name, value in found.items()}


def unflattened(like: Mapping[str, Tensor], flat: Float[Tensor, "*models n"]) -> Params:
    """Return flat vectors as tensors of the names, shapes and kinds of others."""
    pieces = flat.split([entry.numel() for entry in like.values()], dim=-1)
    return {
        name: piece.reshape(flat.shape[:-1] + entry.shape).to(
            piece.dtype if entry.is_floating_point() else entry.dtype
        )
        for (name, entry), piece in zip(like.items(), pieces, strict=True)
    }


def flattened(values: list[Tensor]) -> Float[Tensor, "models params"]:
    """Return one flat parameter vector a model."""
    return torch.cat([value.reshape(len(value), -1) for value in values], dim=1)

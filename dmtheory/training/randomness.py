"""An example's randomness in training: keyed by model, epoch and example alone.

A dropped unit or a flipped image never depends on the mask, the batch or the chunk.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from dmtheory.designs.seeds import Purpose, philox

_MASK = 0xFFFFFFFF
_WORD = 2**32

Keys = Int64[Tensor, "*batch words"]


def example_keys(
    seeds: Int64[Tensor, " models"],
    epochs: Int64[Tensor, " orders"],
    ids: Int64[Tensor, "orders batch"],
) -> Int64[Tensor, "models batch words"]:
    """Return four words for each model and example in this epoch.

    Args:
        seeds: Training seeds.
        epochs: The epoch, one for all models or one for each.
        ids: Stable numbers of the examples, for all models or for each.

    Returns:
        Words in [0, 2^32): the first two key dropout, the last two augmentation.
    """
    low, high = (seeds & _MASK)[:, None], (seeds >> 32)[:, None]
    purpose = int(Purpose.EXAMPLE) + (epochs[:, None] << 8)
    return philox((ids, low, high, purpose), (0, 0))


def keyed_uniforms(keys: Keys, n: int, stream: int) -> Float[Tensor, "*batch draws"]:
    """Return n float64 uniforms in (0, 1) for each key of two words.

    Args:
        keys: Two words each.
        n: How many.
        stream: Draws of different streams are independent.

    Returns:
        Uniforms.
    """
    blocks = torch.arange(-(-n // 4), device=keys.device)
    place = torch.tensor(stream, device=keys.device)
    first, second = keys[..., 0:1], keys[..., 1:2]
    words = philox((blocks, first, second, place), (0, 1)).flatten(-2)
    return (words[..., :n].double() + 0.5) / _WORD


class ExampleDropout(nn.Module):
    """Dropout whose masks are keyed by example; the identity where no key is set.

    Takes the place of `torch.nn.Dropout` in a module that is trained here. Each use in
    a forward pass has draws of its own.
    """

    key: Tensor
    # How often it was used in this forward pass, and how many entries it drew.
    uses: int = 0
    entries: int = 0

    def __init__(self, p: float, stream: int) -> None:
        """Drop each entry of an example with probability p."""
        super().__init__()
        self.p = p
        self.stream = stream
        nothing = torch.zeros(0, 2, dtype=torch.int64)
        self.register_buffer("key", nothing, persistent=False)

    def forward(
        self, x: Float[Tensor, "examples ..."]
    ) -> Float[Tensor, "examples ..."]:
        """Return x with entries dropped and the rest scaled by 1/(1 - p)."""
        if not len(self.key) or self.p == 0:
            return x
        if len(x) != len(self.key):
            raise ValueError(
                f"dropout is keyed by example: its input must have {len(self.key)} "
                f"examples first, got shape {tuple(x.shape)}"
            )
        if self.p == 1:
            return x * 0
        n = x[0].numel()
        kept = self._kept(n).view(x.shape)
        self.uses, self.entries = self.uses + 1, self.entries + n
        return x * (kept.to(x.dtype) / (1 - self.p))

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p}"

    def _kept(self, n: int) -> Bool[Tensor, "examples entries"]:
        stream = self.stream + (self.uses << 16)
        return keyed_uniforms(self.key, n, stream) >= self.p


def with_keyed_dropout(module: nn.Module) -> nn.Module:
    """Replace each `torch.nn.Dropout` of a module by one that is keyed by example."""
    module.register_forward_pre_hook(_start_anew)
    streams = 0
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                streams += 1
                setattr(parent, name, ExampleDropout(child.p, streams))
    return module


def _start_anew(module: nn.Module, inputs: object) -> None:
    """Count uses of dropout layers from here: a forward pass begins."""
    for child in module.modules():
        if isinstance(child, ExampleDropout):
            child.uses = child.entries = 0

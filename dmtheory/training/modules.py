"""What a module must be to be trained here, and a small one that is."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dmtheory.training.randomness import ExampleDropout, with_keyed_dropout


@dataclass(frozen=True, slots=True)
class MLP:
    """Make a multilayer perceptron with tanh between its layers.

    Attributes:
        widths: Sizes of the layers, input and output included, such as (64, 16, 10).
    """

    widths: tuple[int, ...]

    def __call__(self) -> nn.Sequential:
        """Return a freshly initialised module."""
        layers: list[nn.Module] = []
        for n_in, n_out in zip(self.widths[:-1], self.widths[1:], strict=True):
            layers += [nn.Linear(n_in, n_out), nn.Tanh()]
        return nn.Sequential(*layers[:-1])


def prepared(make_module: Callable[[], nn.Module], dtype: torch.dtype) -> nn.Module:
    """Return a module of the type, with keyed dropout, in training mode.

    Raises:
        TypeError: If make_module returns no module.
        ValueError: If nothing of it can be trained.
    """
    with torch.random.fork_rng(devices=[]):
        module = make_module()
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"make_module must return a torch module, got {type(module).__name__}"
        )
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ValueError("make_module must return a module with trainable parameters")
    return with_keyed_dropout(module).to(dtype).train()


def state_names(module: nn.Module, x: Tensor) -> list[str]:
    """Return the buffers that a forward pass in training changes."""
    trial = copy.deepcopy(module).train()
    before = {name: buffer.clone() for name, buffer in trial.named_buffers()}
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        trial(x)
    return [
        name
        for name, buffer in trial.named_buffers()
        if not torch.equal(buffer, before[name])
    ]


def check_batchable(module: nn.Module, x: Tensor) -> None:
    """Raise unless an example's prediction depends on the example and parameters alone.

    Args:
        module: A module in training mode.
        x: A few examples, at least two.

    Raises:
        ValueError: If a forward pass changes buffers, draws random numbers of its
            own, or mixes the examples of a batch.
    """
    remedy = "or train one model at a time with execution=OneByOne()"
    changed = state_names(module, x)
    if changed:
        owner = changed[0].rpartition(".")[0]
        kind = type(module.get_submodule(owner)).__name__
        raise ValueError(
            "make_module must return a module whose forward pass changes no buffer, "
            f"but {kind} {owner!r} changes {changed[0]!r}: use a normalisation without "
            f"batch statistics, such as LayerNorm or GroupNorm, {remedy}"
        )
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        together, again = module(x), module(x)
        alone = torch.cat([module(row) for row in x.split(1)])
    if not torch.equal(together, again):
        raise ValueError(
            "make_module must return a module that draws no random numbers of its own "
            f"but through torch.nn.Dropout: an example's draws have to be its own; "
            f"take them out {remedy}"
        )
    scale = together.abs().max().clamp_min(1.0)
    if bool((together - alone).abs().max() > 1e-3 * scale):
        raise ValueError(
            "make_module must return a module whose prediction at an example depends "
            "on no other example of the batch (batch statistics break 'weight 0 means "
            "absent'): use a normalisation without them, such as LayerNorm or "
            f"GroupNorm, {remedy}"
        )


def keyed_modules(module: nn.Module) -> dict[str, ExampleDropout]:
    """Return the dropout layers whose keys a training step sets, by name."""
    return {
        name: child
        for name, child in module.named_modules()
        if isinstance(child, ExampleDropout)
    }

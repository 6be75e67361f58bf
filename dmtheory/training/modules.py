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

    What is not trained (frozen parameters, constant buffers) is the same wherever it
    is made: the module is drawn from a fixed seed.

    Raises:
        TypeError: If make_module returns no module.
        ValueError: If nothing of it can be trained, or it is no fresh one.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = make_module()
        again = make_module()
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"make_module must return a torch module, got {type(module).__name__}"
        )
    if again is module:
        raise ValueError(
            "make_module must return a fresh module each time, got the same one twice: "
            "make it inside the function"
        )
    parameters = list(module.parameters())
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in parameters):
        raise ValueError(
            "make_module must return a module that knows its sizes, got a lazy layer"
        )
    if not any(parameter.requires_grad for parameter in parameters):
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


def mixes_examples(module: nn.Module) -> bool:
    """Return whether a module has batch normalisation in training mode."""
    return any(
        isinstance(child, nn.modules.batchnorm._BatchNorm) and child.training
        for child in module.modules()
    )


def keyed_modules(module: nn.Module) -> dict[str, ExampleDropout]:
    """Return the dropout layers whose keys a training step sets, by name."""
    return {
        name: child
        for name, child in module.named_modules()
        if isinstance(child, ExampleDropout)
    }

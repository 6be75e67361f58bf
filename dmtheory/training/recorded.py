"""Record a function of tensors as a list of operations, and repeat those."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

# Recording takes as long as some hundred calls of a small network's step.
_CALLS_BEFORE = 200
_Signature = tuple[tuple[torch.Size, torch.dtype] | None, ...]


class Recorded:
    """A function of tensors, recorded once it has been called often with such shapes.

    What transforms of functions cost Python at each call is then paid no more; the
    operations, and so the bits, are the same. A function that cannot be recorded stays
    as it is. It must be a pure function of its arguments: tuples of tensors, tensors,
    or None.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """Take a function, which is not called yet."""
        self._function = function
        self._calls: Counter[_Signature] = Counter()
        self._programs: dict[_Signature, Callable[..., Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        """Return function(*arguments)."""
        signature = _signature(arguments)
        self._calls[signature] += 1
        if self._calls[signature] == _CALLS_BEFORE:
            self._programs[signature] = self._record(arguments)
        return self._programs.get(signature, self._function)(*arguments)

    def _record(self, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        try:
            program: GraphModule = make_fx(self._function)(*arguments)
        except Exception:
            return self._function
        program.graph.eliminate_dead_code()
        program.recompile()
        return program


def _signature(arguments: tuple[Any, ...]) -> _Signature:
    leaves: list[Any] = []
    for entry in arguments:
        leaves += entry if isinstance(entry, tuple) else [entry]
    return tuple(
        (leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else None
        for leaf in leaves
    )

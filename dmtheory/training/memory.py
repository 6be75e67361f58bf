"""How much memory a model in training takes."""

import torch
from torch import Tensor

from dmtheory.training.task import Task

# Parameters, their gradient, the optimiser's memory, temporaries of a step: measured,
# see benchmarks/README.md; all are upper limits.
_COPIES_OF_PARAMETERS = 5
# An activation is kept for the backward pass, and has a gradient.
_COPIES_OF_ACTIVATIONS = 2


def bytes_a_model(task: Task) -> int:
    """Return about how many bytes one more model takes while a chunk trains.

    From the sizes of the parameters and of what one example's forward pass keeps for
    the backward pass.
    """
    parameters = [task.module.get_parameter(name) for name in task.names]
    n_params = sum(parameter.numel() for parameter in parameters)
    kept = _kept_for_backward(task)
    entries = (
        _COPIES_OF_PARAMETERS * n_params
        + _COPIES_OF_ACTIVATIONS * kept * task.procedure.batch_size
    )
    table = 0
    if task.procedure.order == "per-model":
        table = 9 * task.procedure.epochs * len(task.x)
    return entries * parameters[0].element_size() + table


def _kept_for_backward(task: Task) -> int:
    """Return the entries that one example's forward pass saves, parameters aside."""
    n_two, n_one = (_saved(task, n) for n in (2, 1))
    return max(n_two - n_one, 1)


def _saved(task: Task, n_examples: int) -> int:
    total = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal total
        total += tensor.numel()
        return tensor

    rows = torch.arange(n_examples) % len(task.x)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        task.loss(task.module(task.x[rows]), task.y[rows])
    return total

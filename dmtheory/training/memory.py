"""How much memory a model takes, in training and when it is measured.

All are upper limits of what was measured, see benchmarks/README.md.
"""

import torch
from torch import Tensor

from dmtheory.training.modules import keyed_modules
from dmtheory.training.randomness import example_keys
from dmtheory.training.task import Task

# Parameters, their gradient, temporaries of a step; not the optimiser's memory.
_COPIES_OF_PARAMETERS = 4
# An activation is kept for the backward pass, and has a gradient.
_COPIES_OF_ACTIVATIONS = 2
# An adjoint, the next one, and temporaries of the step; not the optimiser's.
_COPIES_OF_A_WAY = 12
# How an activation moves, and its gradient.
_COPIES_OF_MOVED_ACTIVATIONS = 2
# A uniform is made of 64-bit words in several rounds.
_BYTES_A_DRAW = 120


def bytes_a_model(task: Task) -> int:
    """Return about how many bytes one more model takes while a chunk trains.

    From the sizes of the parameters, of what one example's forward pass keeps for the
    backward pass, and of the random numbers that it draws.
    """
    parameters = [task.module.get_parameter(name) for name in task.names]
    n_params = sum(parameter.numel() for parameter in parameters)
    copies = _COPIES_OF_PARAMETERS + task.procedure.moments
    kept, draws = task.on(task.device, _kept_for_backward), _draws(task)
    batch, item = task.procedure.batch_size, parameters[0].element_size()
    total = item * (copies * n_params + _COPIES_OF_ACTIVATIONS * kept * batch)
    total += _BYTES_A_DRAW * draws * batch
    if not task.procedure.shares_order:
        # Rows and whether they are filled, of every step; a batch of its own.
        total += 9 * task.procedure.epochs * (len(task.x) + batch)
        total += 2 * item * batch * task.x[0].numel()
    return total


def bytes_a_way(task: Task) -> int:
    """Return about how many bytes an adjoint or tangent takes while a step is undone.

    From its own size and its part of a pass of forward over reverse mode.
    """
    n_params = sum(task.module.get_parameter(name).numel() for name in task.names)
    item = task.module.get_parameter(task.names[0]).element_size()
    kept, batch = task.on(task.device, _kept_for_backward), task.procedure.batch_size
    copies = _COPIES_OF_A_WAY + task.procedure.moments
    moved = copies * n_params + _COPIES_OF_MOVED_ACTIVATIONS * kept * batch
    return item * (moved + len(task.x))


def bytes_to_measure(task: Task, n_examples: int) -> int:
    """Return about how many bytes one more model takes while it predicts examples."""
    item = task.module.get_parameter(task.names[0]).element_size()
    kept = task.on(task.device, _kept_for_backward)
    return 2 * item * max(n_examples, 1) * kept


def _draws(task: Task) -> int:
    """Return how many random numbers an example draws in a step."""
    if not task.keyed:
        return 0
    with torch.no_grad():
        keys = example_keys(
            torch.zeros(1, dtype=torch.int64),
            torch.zeros(1, dtype=torch.int64),
            task.ids[:1][None],
        ).to(task.device)
        task.predict({}, task.x[:1], keys[0])
    dropped = sum(layer.entries for layer in keyed_modules(task.module).values())
    return dropped + (task.x[0].numel() if task.augment is not None else 0)


def _kept_for_backward(task: Task, device: torch.device) -> int:
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
    hooks = torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor)
    with torch.enable_grad(), hooks:
        task.loss(task.module(task.x[rows]), task.y[rows])
    return total

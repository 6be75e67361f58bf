"""Whether many models of a module can be trained together, tried out on a batch."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from dmtheory.training.randomness import example_keys
from dmtheory.training.task import Task, stacked

_REMEDY = "or train one model at a time with execution=OneByOne()"
# Examples of the trial; mixing shows in double precision.
_TRIAL = 8
_MIXED = 1e-9


def check_batchable(task: Task) -> None:
    """Raise unless an example's prediction depends on the example and parameters alone.

    Raises:
        ValueError: If a forward pass changes buffers, draws random numbers of its own,
            mixes the examples of a batch, or cannot be vmapped.
    """
    x = task.x[:_TRIAL]
    _check_state(task)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        task.module(x)
        drawn = not torch.equal(torch.get_rng_state(), before)
    if drawn:
        raise ValueError(
            "make_module must return a module that draws no random numbers of its own "
            "but through torch.nn.Dropout: an example's draws have to be its own; "
            f"take them out {_REMEDY}"
        )
    _check_mixing(task.module, x)
    _check_step(task)


def _check_state(task: Task) -> None:
    with _named():
        changed = task.state_names
    if changed:
        owner = changed[0].rpartition(".")[0]
        kind = type(task.module.get_submodule(owner)).__name__
        raise ValueError(
            "make_module must return a module whose forward pass changes no buffer, "
            f"but {kind} {owner!r} changes {changed[0]!r}: use a normalisation without "
            f"batch statistics, such as LayerNorm or GroupNorm, {_REMEDY}"
        )


def _check_mixing(module: nn.Module, x: Tensor) -> None:
    """Compare the first prediction beside other examples."""
    exact = copy.deepcopy(module).double()
    rows = x.double() if x.is_floating_point() else x
    others = torch.cat([rows[:1], torch.zeros_like(rows[1:])])
    with torch.no_grad(), _named():
        found = [exact(batch)[0] for batch in (rows, others, rows.flip(0).roll(1, 0))]
    gap = max((found[0] - other).abs().max().item() for other in found[1:])
    if gap > _MIXED * max(found[0].abs().max().item(), 1.0):
        raise ValueError(
            "make_module must return a module whose prediction at an example depends "
            "on no other example of the batch (batch statistics break 'weight 0 means "
            "absent'): use a normalisation without them, such as LayerNorm or "
            f"GroupNorm, {_REMEDY}"
        )


def _check_step(task: Task) -> None:
    """Take the gradient of two models on a batch of three, with keys as in training."""
    names = {name: task.module.get_parameter(name) for name in task.names}
    flat = torch.cat([p.detach().flatten() for p in names.values()]).expand(2, -1)
    params = stacked(task, flat)
    rows = torch.arange(3) % len(task.x)
    weights = torch.ones(2, 3, dtype=flat.dtype)
    keys = None
    if task.keyed:
        seeds = torch.arange(2)
        keys = example_keys(
            seeds, torch.zeros(1, dtype=torch.int64), task.ids[rows][None]
        )
    axes = 0, 0, None if keys is None else 0, None, None
    with _named():
        vmap(grad(task.batch_loss), axes)(
            params, weights, keys, task.x[rows], task.y[rows]
        )
        _predict_together(task, params, task.x[rows])


def _predict_together(task: Task, params: dict[str, Tensor], x: Tensor) -> None:
    """Predict as models are measured: some layers have no vmapped form just there."""
    module = copy.deepcopy(task.module).eval()
    with torch.no_grad():
        vmap(lambda one: functional_call(module, one, (x,)))(params)


@contextmanager
def _named() -> Iterator[None]:
    """Say of an error in the user's module what it means, and the remedy."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            "make_module must return a module that many models can share in one "
            f"vmapped step, but it fails: {reason}; mend it {_REMEDY}"
        ) from error

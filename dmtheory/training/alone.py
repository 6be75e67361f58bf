"""Train one ordinary module: slow, and works with any."""

import copy

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from dmtheory.training.modules import keyed_modules, mixes_examples
from dmtheory.training.order import Visits, visits
from dmtheory.training.task import Task, flattened, stacked


def train_alone(
    task: Task,
    start: Float[Tensor, "1 params"],
    weights: Float[Tensor, "1 train"],
    seed: Int64[Tensor, " 1"],
) -> Float[Tensor, "1 state"]:
    """Return a model's trained parameters, then buffers that training changed."""
    module = copy.deepcopy(task.module).train()
    parameters = [module.get_parameter(name) for name in task.names]
    for parameter, value in zip(parameters, stacked(task, start).values(), strict=True):
        parameter.data.copy_(value[0])
    values = [parameter.data[None] for parameter in parameters]
    state = task.procedure.state(values)
    plan = visits(task.procedure, task.ids, weights, seed)
    scales = task.scales(weights)
    cuda = [start.device] if start.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), torch.enable_grad():
        torch.manual_seed(int(seed))
        for step in range(len(plan.rows)):
            factors = task.slot_weights(weights, scales, plan, step)[0]
            slopes = _slopes_alone(task, module, parameters, plan, step, factors, seed)
            torch._foreach_add_(slopes, values, alpha=task.procedure.weight_decay)
            rates = task.procedure.rates(step, plan.n_steps).to(start.dtype)
            number = torch.tensor(step + 1.0, dtype=start.dtype)
            task.procedure.update(values, slopes, state, rates, number)
    buffers = [
        module.get_buffer(name)[None].to(start.dtype) for name in task.state_names
    ]
    return flattened([*values, *buffers])


def _slopes_alone(
    task: Task,
    module: nn.Module,
    parameters: list[nn.Parameter],
    plan: Visits,
    step: int,
    factors: Tensor,
    seed: Tensor,
) -> list[Tensor]:
    """Return the gradient of one module's batch loss, examples of weight 0 left out."""
    present = factors > 0
    # Statistics of one example are none: torch refuses to take them.
    if int(present.sum()) < (2 if mixes_examples(module) else 1):
        return [torch.zeros_like(parameter)[None] for parameter in parameters]
    rows = plan.rows[step][0][present]
    x, keys = task.x[rows], task.keys(seed, plan, step)
    if keys is not None:
        keys = keys[0][present]
        for dropout in keyed_modules(module).values():
            dropout.key = keys[:, :2]
        if task.augment is not None:
            x = task.augment(x, keys[:, 2:])
    losses = task.loss(module(x), task.y[rows])
    total = (losses * factors[present].to(losses.dtype)).sum()
    slopes = torch.autograd.grad(
        total, parameters, allow_unused=True, materialize_grads=True
    )
    return [slope[None] for slope in slopes]

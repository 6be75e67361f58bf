"""Which examples each step visits."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from dmtheory.designs.seeds import Purpose, model_seeds, permutations
from dmtheory.training.procedures import Procedure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Visits:
    """The examples of every step; `orders` is one for all models, or each model's own.

    Every step has batch_size slots, some of them empty.

    Attributes:
        rows: The example in each slot; any in an empty one.
        filled: Whether a slot has an example.
        epoch: The pass that a step belongs to.
        n_steps: Steps that a model takes.
    """

    rows: Int64[Tensor, "steps orders batch"]
    filled: Bool[Tensor, "steps orders batch"]
    epoch: Int64[Tensor, "steps orders"]
    n_steps: Float[Tensor, " orders"]


def visits(
    procedure: Procedure,
    ids: Int64[Tensor, " train"],
    weights: Float[Tensor, "models train"],
    seeds: Int64[Tensor, " models"],
) -> Visits:
    """Return the examples of every step of every model.

    An epoch is a permutation of all examples, keyed by their stable ids, cut into
    batches. Under proportional steps the examples that a model lacks are taken out of
    its permutations first, so the others keep their relative order.

    Returns:
        Visits, with one order for all models where the procedure shares it; made on
        the CPU and moved to the weights' device.
    """
    if procedure.shares_order:
        seeds = torch.zeros(1, dtype=torch.int64)
    streams = model_seeds(procedure.order_seed, seeds.cpu(), Purpose.ORDER)
    present = torch.ones(len(streams), len(ids), dtype=torch.bool)
    if procedure.step_policy == "proportional":
        present = weights.cpu() > 0
    plan = _cut(procedure, ids, streams, present)
    moved = {f.name: getattr(plan, f.name).to(weights.device) for f in fields(plan)}
    return Visits(**moved)


def _cut(
    procedure: Procedure,
    ids: Int64[Tensor, " train"],
    streams: Int64[Tensor, " orders"],
    present: Bool[Tensor, "orders train"],
) -> Visits:
    """Cut each stream's permutations of its present examples into batches."""
    n_orders, batch = len(streams), procedure.batch_size
    sizes = present.sum(1)
    # Steps an epoch; a model without examples takes its steps on the penalty alone.
    per_epoch = -(-sizes // batch).clamp(max=-1)
    total = procedure.epochs * per_epoch
    longest = int(total.max())
    rows = torch.zeros(longest, n_orders, batch, dtype=torch.int64)
    filled = torch.zeros(longest, n_orders, batch, dtype=torch.bool)
    place = torch.arange(len(ids))
    lane = torch.arange(n_orders)[:, None].expand(-1, len(ids))
    for epoch in range(procedure.epochs):
        order = permutations(epoch, Purpose.ORDER, streams, ids)
        here = present.gather(1, order)
        # Present examples first, in their order.
        order = order.gather(1, torch.argsort(~here, dim=1, stable=True))
        step = epoch * per_epoch[:, None] + place // batch
        slot = (place % batch).expand(n_orders, -1)
        kept = place < sizes[:, None]
        rows[step[kept], lane[kept], slot[kept]] = order[kept]
        filled[step[kept], lane[kept], slot[kept]] = True
    steps = torch.arange(longest)[:, None]
    return Visits(
        rows=rows,
        filled=filled,
        epoch=(steps // per_epoch).clamp(max=procedure.epochs - 1),
        n_steps=total.double(),
    )

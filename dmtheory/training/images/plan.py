"""What each step of one model visits, made on the device before the first step."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int8, Int64
from torch import Tensor

from dmtheory.designs.seeds import Purpose, model_seeds, permutations
from dmtheory.training.images.recipe import Recipe
from dmtheory.weighting import Normalisation, StepPolicy, normaliser

Mode = Literal["subset", "weighted"]
MODES = ("subset", "weighted")
STEP_POLICY: dict[str, StepPolicy] = {"subset": "proportional", "weighted": "fixed"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """The steps of one model.

    Attributes:
        rows: The image in each slot; any in an empty one.
        moves: How it is moved.
        weights: Its weight in batch statistics; 0 in an empty slot.
        factors: Its factor in the estimate of J.
        rates: Step size of each group of parameters.
        plain: Whether every slot has an image of weight 1.
    """

    rows: Int64[Tensor, "steps batch"]
    moves: Int8[Tensor, "steps batch 5"]
    weights: Float[Tensor, "steps batch"]
    factors: Float[Tensor, "steps batch"]
    rates: Float[Tensor, "steps groups"]
    plain: bool

    @property
    def n_steps(self) -> int:
        """How many steps the model takes."""
        return len(self.rows)


def most_steps(recipe: Recipe, n_train: int) -> int:
    """Return how many steps a model takes at most."""
    return recipe.epochs * len(_cut(recipe, torch.arange(n_train))[0])


def plans(
    recipe: Recipe,
    ids: Int64[Tensor, " train"],
    weights: Float[Tensor, "models train"],
    seeds: Int64[Tensor, " models"],
    *,
    mode: Mode,
    normalisation: Normalisation,
    side: int,
    dtype: torch.dtype,
) -> list[Plan]:
    """Return the steps of some models.

    An epoch is a permutation of all images, keyed by (seed, epoch, stable id), of which
    subset mode keeps those that are in, and which is then cut into batches; the moves
    of an image are keyed alike. Neither depends on weights, batch or other models.

    A batch B estimates the data term of J by (n/|B|)/W times its weighted losses, n = N
    in weighted mode and |S| in subset mode, so the divisor does not depend on the
    weights in the batch.

    Args:
        recipe: The recipe.
        ids: Stable numbers of the images, on the device.
        weights: One weight vector a model, on the device; 0 or 1 in subset mode.
        seeds: One training seed a model, on the CPU.
        mode: "subset" visits what has weight 1, "weighted" visits all.
        normalisation: "sum" or "count".
        side: Side of an image in pixels.
        dtype: Precision of weights and rates.

    Returns:
        One plan a model.
    """
    streams = model_seeds(0, seeds, Purpose.ORDER).to(ids.device)
    seeds = seeds.to(ids.device)
    present = weights > 0 if mode == "subset" else torch.ones_like(weights).bool()
    scales = normaliser(weights, normalisation) * present.sum(1)
    pieces: list[list[tuple[Tensor, ...]]] = [[] for _ in seeds]
    for epoch in range(recipe.epochs):
        orders = permutations(epoch, Purpose.ORDER, streams, ids)
        moves = recipe.moves.drawn(seeds, epoch, ids, side)
        for lane, order in enumerate(orders):
            rows, filled = _cut(recipe, order[present[lane][order]])
            pieces[lane].append((rows, filled, moves[lane][rows]))
    return [
        _assembled(recipe, own, weights[lane], scales[lane], mode, dtype)
        for lane, own in enumerate(pieces)
    ]


def _cut(
    recipe: Recipe, order: Int64[Tensor, " present"]
) -> tuple[Int64[Tensor, "steps batch"], Bool[Tensor, "steps batch"]]:
    """Cut an epoch's images into batches; the last may have empty slots."""
    batch, n = recipe.batch_size, len(order)
    if recipe.drop_last and n >= batch:
        order = order[: n // batch * batch]
    # A model without any image takes its steps on the penalty alone.
    n_steps = max(-(-len(order) // batch), 1)
    rows = order.new_zeros(n_steps * batch)
    rows[: len(order)] = order
    filled = torch.arange(len(rows), device=order.device) < len(order)
    return rows.view(n_steps, batch), filled.view(n_steps, batch)


def _assembled(
    recipe: Recipe,
    pieces: list[tuple[Tensor, ...]],
    weights: Float[Tensor, " train"],
    scale: Float[Tensor, ""],
    mode: Mode,
    dtype: torch.dtype,
) -> Plan:
    rows, filled, moves = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    here = weights[rows] * filled
    size = filled.sum(1, keepdim=True).clamp_min(1)
    done = torch.arange(len(rows), dtype=torch.float64, device=rows.device) / len(rows)
    rates = [group.rate * group.shape(done) for group in recipe.groups]
    return Plan(
        rows=rows,
        moves=moves,
        weights=here.to(dtype),
        factors=(here * (scale / size)).to(dtype),
        rates=torch.stack(rates, 1).to(dtype),
        plain=mode == "subset" and bool(filled.all()),
    )

"""What a design says of the rows of a regression, and whether masks agree with it."""

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.designs import (
    AntitheticPairs,
    Bernoulli,
    ComplementaryPairs,
    DisjointBlocks,
    FixedSize,
    LeaveKOut,
    RandomDirections,
    Stratified,
    SubsetDesign,
)
from dmtheory.designs.base import Design
from dmtheory.designs.players import unit_size


def block_structure(design: Design) -> tuple[int, bool]:
    """Return how many consecutive rows share a seed, and whether their mean varies."""
    size = unit_size(design)
    if isinstance(design, AntitheticPairs):
        return size, design.p != 0.5
    return size, size == 1


def variances(design: Design, n_players: int) -> Float[Tensor, " train"]:
    """Return a_i such that the covariance of weights is diag(a), less null directions.

    p(1-p) under independent inclusion; k(N-k)/(N(N-1)) for one fixed size k, within
    each stratum where there are several.
    """
    if isinstance(design, RandomDirections):
        return torch.full((n_players,), design.step**2, dtype=torch.float64)
    assert isinstance(design, SubsetDesign)
    if isinstance(design, Stratified):
        diagonal = design.covariance(n_players).diagonal()
    else:
        p = design.inclusion(n_players)
        diagonal = torch.full((n_players,), p * (1 - p), dtype=torch.float64)
    null = design.null_directions(n_players)
    return diagonal / (1 - null.square().sum(0))


def check_law(masks: Float[Tensor, "models train"], design: SubsetDesign) -> None:
    """Raise unless masks of 0 and 1 can be of the stated design.

    Raises:
        TypeError: If the design is not one that arrays can be checked against.
        ValueError: If the masks contradict it.
    """
    size, _ = block_structure(design)
    if len(masks) % size:
        raise ValueError(
            f"design must match the masks: blocks of {size} models were stated, but "
            f"there are {len(masks)} rows"
        )
    match design:
        case Bernoulli():
            _check_share(masks, design.p)
        case AntitheticPairs():
            _check_share(masks, design.p)
            _check_opposites(masks, design.p)
        case ComplementaryPairs() | DisjointBlocks():
            _check_parts(masks, size)
        case FixedSize():
            _check_size(masks, design.size)
        case LeaveKOut():
            _check_size(masks, masks.shape[1] - design.k)
        case Stratified():
            _check_strata(masks, design)
        case _:
            raise TypeError(
                "design of arrays must be Bernoulli, FixedSize, Stratified, LeaveKOut, "
                "ComplementaryPairs, AntitheticPairs or DisjointBlocks, got "
                f"{type(design).__name__}"
            )


def _check_share(masks: Tensor, p: float) -> None:
    share = masks.mean().item()
    sigma = (p * (1 - p) / masks.numel()) ** 0.5
    # Eight standard deviations: no honest masks are refused.
    if abs(share - p) > 8 * sigma:
        raise ValueError(
            f"design must match the masks: p = {p:g} was stated, but their share of "
            f"ones is {share:.4f}"
        )


def _check_opposites(masks: Tensor, p: float) -> None:
    """Raise unless no example is in both of a pair, or for p > 1/2 none in neither."""
    both = masks.unflatten(0, (-1, 2)).sum(1)
    if bool((both > 1).any()) if p <= 0.5 else bool((both < 1).any()):
        raise ValueError(
            "design must match the masks: antithetic pairs were stated, but "
            f"consecutive rows have an example in {'both' if p <= 0.5 else 'neither'}"
        )


def _check_parts(masks: Tensor, size: int) -> None:
    if bool((masks.unflatten(0, (-1, size)).sum(1) != 1).any()):
        what = "complementary pairs" if size == 2 else f"partitions into {size} parts"
        raise ValueError(
            f"design must match the masks: {what} were stated, but consecutive rows "
            f"are no {'complements' if size == 2 else 'partitions'}"
        )


def _check_size(masks: Tensor, size: int) -> None:
    sizes = masks.sum(1)
    if bool((sizes != size).any()):
        raise ValueError(
            f"design must match the masks: size {size} was stated, but rows hold "
            f"{int(sizes.min())} to {int(sizes.max())} examples"
        )


def _check_strata(masks: Tensor, design: Stratified) -> None:
    members = (design.null_directions(masks.shape[1]) > 0).to(masks)
    # Every row of the design has the same totals.
    first = design.weights(torch.zeros(1, dtype=torch.int64), masks.shape[1])
    sizes, stated = masks @ members.T, members @ first[0].to(masks)
    wrong = (sizes != stated).any(0).nonzero().flatten()
    if len(wrong):
        stratum = int(wrong[0])
        found = sizes[:, stratum]
        raise ValueError(
            f"design must match the masks: {int(stated[stratum])} of stratum {stratum} "
            f"were stated (strata in the order of their numbers), but rows hold "
            f"{int(found.min())} to {int(found.max())}"
        )

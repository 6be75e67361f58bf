"""Counter-based random bits: the same on any machine, in any order, on CPU and GPU.

Every draw of the package is a pure function of (experiment seed, purpose, model,
stable example id). Nothing holds a generator, so a row of a design or an example's
augmentation can be recomputed anywhere without replaying what came before it.

The generator is Philox4x32-10. It is written on int64 tensors because torch has no
full unsigned 64-bit arithmetic on every device: the product of two 32-bit words
wraps in int64, but its bits are right, and masking recovers both halves.

References:
    Salmon, Moraes, Dror, Shaw 2011, Parallel random numbers: as easy as 1, 2, 3.
"""

from enum import IntEnum

import torch
from jaxtyping import Int64
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD = 2**32


class Purpose(IntEnum):
    """What a draw is for. Draws of different purposes are independent."""

    MASK = 1
    MODEL_SEED = 2
    INITIALISATION = 3
    ORDER = 4
    COORDINATE = 5
    OWN_WEIGHT = 6
    BOOTSTRAP = 7
    SPLIT = 8
    DATA = 9
    REPLICATE = 10
    GROUP = 11
    DIRECTION = 12
    EXAMPLE = 13


def philox(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]
) -> Int64[Tensor, "*shape words"]:
    """Return the four 32-bit words of Philox4x32-10 at each counter.

    Args:
        counter: Four int64 tensors that broadcast together, values in [0, 2^32).
        key: Two words in [0, 2^32).

    Returns:
        Words in [0, 2^32), on the counter's device.
    """
    c0, c1, c2, c3 = torch.broadcast_tensors(*counter)
    k0, k1 = key
    for _ in range(_ROUNDS):
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        high0, low0 = (p0 >> 32) & _MASK, p0 & _MASK
        high1, low1 = (p1 >> 32) & _MASK, p1 & _MASK
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return torch.stack([c0, c1, c2, c3], dim=-1)


def random_words(
    seed: int,
    purpose: Purpose,
    models: Int64[Tensor, " models"],
    ids: Int64[Tensor, " ids"],
) -> Int64[Tensor, "models ids"]:
    """Return one 32-bit word for each model and stable id.

    The word of id i is word i mod 4 of block i div 4, so it depends on (seed,
    purpose, model, i) alone and never on which other ids are asked for.

    Args:
        seed: The experiment's seed, any integer in [0, 2^64).
        purpose: What the draw is for.
        models: Model or row numbers in [0, 2^63).
        ids: Stable example ids in [0, 2^34).

    Returns:
        Words in [0, 2^32).
    """
    check_seed(seed)
    blocks, position = torch.unique(ids >> 2, return_inverse=True)
    rows = models[:, None]
    words = philox(
        (
            blocks[None, :],
            rows & _MASK,
            (rows >> 32) & _MASK,
            torch.tensor(int(purpose), device=models.device),
        ),
        (seed & _MASK, seed >> 32),
    )
    return words.flatten(1)[:, position * 4 + (ids & 3)]


def uniforms(
    seed: int,
    purpose: Purpose,
    models: Int64[Tensor, " models"],
    ids: Int64[Tensor, " ids"],
) -> Tensor:
    """Return float64 uniforms in the open interval (0, 1), one a model and id.

    They are (word + 1/2) / 2^32, exact in float64, so they are the same everywhere.
    """
    return (random_words(seed, purpose, models, ids).double() + 0.5) / _WORD


def model_seeds(
    seed: int,
    models: Int64[Tensor, " models"],
    purpose: Purpose = Purpose.MODEL_SEED,
) -> Int64[Tensor, " models"]:
    """Return a seed in [0, 2^63) for each model of an experiment."""
    words = random_words(seed, purpose, models, torch.arange(2))
    return ((words[:, 0] & 0x7FFFFFFF) << 32) | words[:, 1]


def permutation(
    seed: int, purpose: Purpose, model: int, ids: Int64[Tensor, " ids"]
) -> Int64[Tensor, " ids"]:
    """Return positions in random order, by sorting one 63-bit key an id.

    Because keys belong to ids, dropping or reordering examples leaves the relative
    order of the others as it was. Ties (rarer than 1e-9 at 50,000 ids) go by position.
    """
    return permutations(seed, purpose, torch.tensor([model]), ids)[0]


def permutations(
    seed: int,
    purpose: Purpose,
    models: Int64[Tensor, " models"],
    ids: Int64[Tensor, " ids"],
) -> Int64[Tensor, "models ids"]:
    """Return what `permutation` does, for each of many models."""
    pairs = torch.stack([2 * ids, 2 * ids + 1], dim=1).flatten()
    words = random_words(seed, purpose, models, pairs).unflatten(1, (-1, 2))
    keys = ((words[..., 0] & 0x7FFFFFFF) << 32) | words[..., 1]
    return torch.argsort(keys, dim=1, stable=True)


def check_seed(seed: int) -> None:
    """Raise unless the seed is an integer in [0, 2^64).

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is out of range.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be an int, got {type(seed).__name__}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must lie in [0, 2^64), got {seed}")

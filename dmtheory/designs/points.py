"""Points in the space of weights, and moves away from them that stay in it."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.designs.seeds import Purpose, permutation

# The common weight of all examples, or one weight an example.
At = float | tuple[float, ...]


def random_coordinates(n_train: int, n: int, *, seed: int) -> tuple[int, ...]:
    """Draw n of the n_train coordinates uniformly without replacement, sorted.

    Returns:
        Their numbers; smaller draws of one seed are contained in larger ones.

    Raises:
        ValueError: If n is not in [1, n_train].
    """
    if not 1 <= n <= n_train:
        raise ValueError(f"n must lie in [1, {n_train}], got {n}")
    order = permutation(seed, Purpose.COORDINATE, 0, torch.arange(n_train))
    return tuple(sorted(order[:n].tolist()))


def check_coordinates(
    coordinates: tuple[int, ...], n_train: int, name: str = "coordinates"
) -> None:
    """Raise ValueError unless coordinates are distinct, in [0, n_train), not none."""
    check_at_least(len(coordinates), 1, f"number of {name}")
    wrong = [i for i in coordinates if not 0 <= i < n_train]
    if wrong:
        raise ValueError(f"{name} must lie in [0, {n_train}), got {wrong[0]}")
    if len(set(coordinates)) != len(coordinates):
        raise ValueError(f"{name} must be distinct")


def check_groups(groups: tuple[int, ...], n_train: int) -> None:
    """Raise ValueError unless groups number every example, no group empty."""
    if len(groups) != n_train:
        raise ValueError(
            f"groups must have one entry an example ({n_train}), got {len(groups)}"
        )
    if set(groups) != set(range(max(groups) + 1)):
        raise ValueError(
            "groups must number every example 0, ..., G - 1 with no group empty"
        )


def plain_point(weights: Float[Tensor, " train"]) -> At:
    """Return a weight vector as a design holds it: one number where all are equal."""
    if bool((weights == weights[0]).all()):
        return weights[0].item()
    return tuple(weights.tolist())


def side(rows: Int64[Tensor, " models"]) -> Float[Tensor, " models"]:
    """Return +1 for even rows and -1 for odd ones."""
    return 1.0 - 2.0 * (rows % 2).double()


def point_rows(at: At, n_train: int) -> Float[Tensor, "1 train"]:
    """Return the point as one row of weights."""
    if isinstance(at, float | int):
        return torch.full((1, n_train), float(at), dtype=torch.float64)
    if len(at) != n_train:
        raise ValueError(
            f"at must have one weight an example ({n_train}), got {len(at)}"
        )
    return torch.tensor(at, dtype=torch.float64)[None]


def check_step(step: float, least: float) -> None:
    """Raise ValueError if a move of this size would take a weight below zero."""
    if step > least:
        raise ValueError(
            f"step must keep weights >= 0: the largest move is {step:g} where the "
            f"weight is {least:g}"
        )

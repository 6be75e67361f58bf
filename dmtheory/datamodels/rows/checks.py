"""Which regressions can be fitted: columns that vary, differ, and models enough."""

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.datamodels.rows.moments import Columns

# Equal columns of a random design are refused when chance would hardly make them.
_CHANCE = 1e-3
_FLAT = 1e-12


def check_columns(columns: Columns) -> None:
    """Raise ValueError if a column of masks is constant, or two are equal.

    Columns that are equal by the accident of few models are let through: their number
    is then expected to be above 1/1000.

    Raises:
        ValueError: Naming the column, or the two.
    """
    if columns.n_blocks == 0:
        raise ValueError("outputs must be finite for some models, but all diverged")
    flat = columns.centred_squares <= _FLAT * columns.squares.clamp_min(1e-300)
    if bool(flat.any()):
        first = int(flat.nonzero()[0])
        raise ValueError(
            f"masks must vary in every column, got a constant column {first} "
            f"({int(flat.sum())} such): leave out the example, or draw more models"
        )
    twins = _twins(columns.prints)
    if twins is not None and _expected_twins(columns) < _CHANCE:
        raise ValueError(
            f"masks must have distinct columns, got columns {twins[0]} and {twins[1]} "
            "that are duplicates of one another: merge such examples into one group"
        )


def check_freedom(freedom: int, got: int, needed: int, what: str) -> None:
    """Raise ValueError if no residual degree of freedom is left."""
    if freedom < 1:
        raise ValueError(
            f"outputs must come from at least {needed} {what} for OLS on this many "
            f"examples, got {got}: train more, use groups of examples as players, or "
            "Ridge() or Lasso()"
        )


def _twins(prints: Float[Tensor, "two train"]) -> tuple[int, int] | None:
    order = torch.argsort(prints[0], stable=True)
    ordered = prints[:, order]
    same = (ordered[:, 1:] == ordered[:, :-1]).all(0).nonzero().flatten()
    if not len(same):
        return None
    a, b = sorted(order[same[0] : same[0] + 2].tolist())
    return a, b


def _expected_twins(columns: Columns) -> float:
    """Return how many pairs of columns agree by chance in every row.

    Two entries that are independent with variance a over a range of 1 agree with
    probability 1 - 2a.
    """
    variance = float((columns.centred_squares / columns.n_rows).mean())
    agree = max(1.0 - 2.0 * variance, 0.0)
    n = len(columns.squares)
    return n * (n - 1) / 2 * agree**columns.n_rows

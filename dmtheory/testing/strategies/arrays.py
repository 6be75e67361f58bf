"""Arrays of small whole numbers: they shrink to zeros and are read at a glance."""

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor


def matrices(rows: int, columns: int, *, largest: int = 3) -> SearchStrategy[Tensor]:
    """Return a strategy for matrices of whole numbers in [-largest, largest]."""
    entries = st.lists(
        st.integers(-largest, largest),
        min_size=rows * columns,
        max_size=rows * columns,
    )
    return entries.map(
        lambda flat: torch.tensor(flat, dtype=torch.float64).reshape(rows, columns)
    )


def permutations(n: int) -> SearchStrategy[Tensor]:
    """Return a strategy for orders of n things; the simplest is their own."""
    return st.permutations(range(n)).map(lambda order: torch.tensor(order))


def weights(n_train: int, *, zeros: bool = False) -> SearchStrategy[Tensor]:
    """Return a strategy for one weight an example; the simplest is w = 1.

    Args:
        n_train: N.
        zeros: Whether a weight may be 0; never are all.
    """
    values = [1.0, 0.5, 2.0, 1.5, *([0.0] if zeros else [])]
    drawn = st.lists(st.sampled_from(values), min_size=n_train, max_size=n_train)
    return drawn.filter(any).map(lambda flat: torch.tensor(flat, dtype=torch.float64))

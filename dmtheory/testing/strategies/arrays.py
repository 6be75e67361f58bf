"""Arrays drawn as small whole numbers: they shrink to zeros, are read at a glance."""

from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from jaxtyping import Float
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


@st.composite
def features(
    draw: Any, n_rows: int, n_features: int, *, condition: float = 1.0
) -> Float[Tensor, "rows features"]:
    """Return a strategy for feature matrices with a known condition number.

    X = sqrt(n) Q diag(s), Q orthonormal columns and s falling from 1 to 1/condition.

    Args:
        draw: Given by Hypothesis.
        n_rows: At least n_features.
        n_features: At most 3.
        condition: Largest over smallest singular value.
    """
    entries = draw(matrices(n_rows, n_features))
    # Dominant in its first rows, so that the columns are independent whatever is drawn.
    entries = entries + torch.cat([
        10 * torch.eye(n_features).double(),
        torch.zeros(n_rows - n_features, n_features).double(),
    ])
    basis, upper = torch.linalg.qr(entries)
    basis = basis * upper.diagonal().sign()
    falling = torch.linspace(0, 1, n_features, dtype=torch.float64)
    return n_rows**0.5 * basis * condition**-falling


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

"""Masks: of every design, and with the exact law of independent inclusion."""

from fractions import Fraction
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from jaxtyping import Float
from torch import Tensor

from dmtheory.designs import (
    AntitheticPairs,
    Bernoulli,
    ComplementaryPairs,
    DisjointBlocks,
    FixedSize,
    LeaveKOut,
    Stratified,
    SubsetDesign,
)
from dmtheory.problems.set_functions import all_masks


def exact_masks(
    n_train: int, p: float, *, least: int = 0
) -> Float[Tensor, "models train"]:
    """Return rows in which every subset is as frequent as Bernoulli(p) makes it likely.

    A regression on them is the population regression: nothing is drawn.

    Args:
        n_train: N.
        p: A fraction with a small denominator, such as 1/4.
        least: Fewest rows; the rows are repeated until there are so many.
    """
    share = Fraction(p).limit_denominator(100)
    masks = all_masks(n_train)
    sizes = masks.sum(1).long().tolist()
    inside, outside = share.numerator, share.denominator - share.numerator
    counts = torch.tensor([inside**k * outside ** (n_train - k) for k in sizes])
    rows = masks.repeat_interleave(counts, 0)
    return rows.repeat(-(-least // len(rows)) or 1, 1)


@st.composite
def designs(
    draw: Any, n_train: int, *, n_models: SearchStrategy[int] | None = None
) -> SubsetDesign:
    """Return a strategy for designs of random subsets, each kind that there is.

    Args:
        draw: Given by Hypothesis.
        n_train: N, at least 4.
        n_models: Rows at most; 40 to 80 by default.
    """
    n = draw(n_models if n_models is not None else st.integers(40, 80))
    seed, p = draw(st.integers(0, 99)), draw(st.sampled_from([0.5, 0.3, 0.7]))
    half = tuple(int(i >= n_train // 2) for i in range(n_train))
    made: list[SubsetDesign] = [
        Bernoulli(p=p, n_models=n, seed=seed),
        FixedSize(size=max(1, round(p * n_train)), n_models=n, seed=seed),
        Stratified(strata=half, fraction=0.5, n_models=n, seed=seed),
        LeaveKOut(k=1, n_models=n, seed=seed),
        ComplementaryPairs(n_pairs=n // 2, seed=seed),
        AntitheticPairs(p=p, n_pairs=n // 2, seed=seed),
        DisjointBlocks(parts=2, n_blocks=n // 2, seed=seed),
    ]
    return draw(st.sampled_from(made))

"""Values of players in closed form: leave-one-out and Shapley, by enumeration."""

import math

import torch

from dmtheory.problems.set_functions import all_masks
from dmtheory.theory.exhaustive import Coefficients, Table


def leave_one_out_values(table: Table) -> Coefficients:
    """Return F(D) - F(D - i) of every player."""
    n_train = len(table).bit_length() - 1
    everyone = len(table) - 1
    return torch.stack([
        table[-1] - table[everyone & ~(1 << i)] for i in range(n_train)
    ])


def shapley_values(table: Table) -> Coefficients:
    r"""Return sum_{S without i} |S|! (N-1-|S|)!/N! [F(S + i) - F(S)].

    References:
        Shapley 1953, A value for n-person games.
    """
    n_train = len(table).bit_length() - 1
    sizes = all_masks(n_train).sum(1).long()
    orders = [n_train * math.comb(n_train - 1, size) for size in range(n_train)]
    share = 1 / torch.tensor(orders, dtype=torch.float64)
    subsets = torch.arange(len(table))
    rows = []
    for i in range(n_train):
        without = subsets[(subsets >> i) & 1 == 0]
        rise = table[without | (1 << i)] - table[without]
        rows.append(share[sizes[without]] @ rise)
    return torch.stack(rows)

"""Values of players against their definitions over orders."""

from itertools import permutations

import pytest
import torch
from samples import normal

from dmtheory.problems.set_functions import or_of_duplicates
from dmtheory.theory.games import leave_one_out_values, shapley_values


def test_shapley_values_are_mean_rises_over_all_orders_of_arrival() -> None:
    table = normal(2**5, 2, seed=0)
    mean = torch.zeros(5, 2, dtype=torch.float64)
    orders = list(permutations(range(5)))
    for order in orders:
        here = 0
        for i in order:
            mean[i] += (table[here | (1 << i)] - table[here]) / len(orders)
            here |= 1 << i
    torch.testing.assert_close(shapley_values(table), mean, rtol=0, atol=1e-13)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_copies_share_what_one_of_them_is_worth(k: int) -> None:
    values = or_of_duplicates(6, k).values
    expected = torch.zeros(6, 1, dtype=torch.float64)
    expected[:k] = 1 / k
    torch.testing.assert_close(shapley_values(values), expected, rtol=0, atol=1e-14)


def test_leave_one_out_is_the_last_rise() -> None:
    table = normal(2**4, 3, seed=1)
    expected = torch.stack([table[15] - table[15 - 2**i] for i in range(4)])
    assert torch.equal(leave_one_out_values(table), expected)

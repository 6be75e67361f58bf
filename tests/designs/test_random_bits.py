"""Philox and what is made of its words."""

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import unchecked
from torch import Tensor

from dmtheory.designs import Bernoulli
from dmtheory.designs.seeds import (
    Purpose,
    model_seeds,
    permutation,
    philox,
    random_words,
    uniforms,
)

ALL_ONES = 0xFFFFFFFF

# The known answers of philox4x32-10 in the Random123 distribution (kat_vectors).
KNOWN_ANSWERS = [
    (
        (0, 0, 0, 0),
        (0, 0),
        (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ),
    (
        (ALL_ONES, ALL_ONES, ALL_ONES, ALL_ONES),
        (ALL_ONES, ALL_ONES),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_gives_the_published_words(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    c0, c1, c2, c3 = (torch.tensor([c]) for c in counter)
    assert tuple(philox((c0, c1, c2, c3), key)[0].tolist()) == words


def test_a_word_is_the_philox_word_of_its_own_counter() -> None:
    seed, model, example = 5 + 7 * 2**32, 11 + 13 * 2**32, 4 * 17 + 2
    word = random_words(
        seed, Purpose.ORDER, torch.tensor([model]), torch.tensor([example])
    )
    counter = tuple(torch.tensor(c) for c in (17, 11, 13, int(Purpose.ORDER)))
    assert word.item() == philox(counter, (5, 7))[2].item()


GOLDEN_MASKS = ["0011001001000000", "1000000111011100", "0110110000100100"]
GOLDEN_SEEDS = [3913645594438608709, 2906977154701423778, 1343152071662831406]
GOLDEN_ORDER = [6, 7, 3, 9, 4, 5, 1, 11, 2, 0, 8, 10]
GOLDEN_WORDS = [
    [2870889077, 2460645018, 2918875771],
    [1766941018, 1879786419, 1240949589],
]


def test_draws_of_this_version_are_frozen() -> None:
    rows = torch.arange(2)
    ids = torch.arange(12)
    masks = Bernoulli(p=0.35, seed=7).weights(torch.tensor([0, 1, 10**12]), 16)
    assert ["".join(str(int(x)) for x in row) for row in masks] == GOLDEN_MASKS
    assert model_seeds(7, torch.tensor([0, 1, 10**12])).tolist() == GOLDEN_SEEDS
    assert permutation(7, Purpose.ORDER, 3, ids).tolist() == GOLDEN_ORDER
    assert random_words(7, Purpose.BOOTSTRAP, rows, ids[:3]).tolist() == GOLDEN_WORDS


@given(
    seed=st.integers(0, 2**64 - 1),
    models=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4),
    ids=st.lists(st.integers(0, 2**34 - 1), min_size=1, max_size=6),
    data=st.data(),
)
def test_a_word_depends_on_no_other_model_or_id(
    seed: int, models: list[int], ids: list[int], data: st.DataObject
) -> None:
    every = random_words(seed, Purpose.MASK, torch.tensor(models), torch.tensor(ids))
    i = data.draw(st.integers(0, len(models) - 1))
    j = data.draw(st.integers(0, len(ids) - 1))
    one = random_words(
        seed, Purpose.MASK, torch.tensor([models[i]]), torch.tensor([ids[j]])
    )
    assert one.item() == every[i, j].item()


def test_uniforms_have_the_moments_of_the_unit_interval() -> None:
    # Each of the four checks raises a false alarm at 5 sigma: 6e-7.
    drawn = uniforms(1, Purpose.DATA, torch.arange(500), torch.arange(1000)).flatten()
    n = len(drawn)
    assert 0 < drawn.min() < drawn.max() < 1
    for power in (1, 2, 3, 4):
        mean, square = 1 / (power + 1), 1 / (2 * power + 1)
        sigma = math.sqrt((square - mean**2) / n)
        assert abs((drawn**power).mean() - mean) < 5 * sigma


def correlation(x: Tensor, y: Tensor) -> float:
    return torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1].item()


def test_purposes_seeds_models_and_ids_draw_independently() -> None:
    # A correlation of n independent pairs is N(0, 1/n): 5 sigma, 40 checks, 2e-5.
    rows, ids = torch.arange(200), torch.arange(500)
    limit = 5 / math.sqrt(200 * 500)
    base = uniforms(3, Purpose.MASK, rows, ids)
    others = [uniforms(3, p, rows, ids) for p in Purpose if p is not Purpose.MASK]
    others += [
        uniforms(4, Purpose.MASK, rows, ids),
        uniforms(3 + 2**32, Purpose.MASK, rows, ids),
        uniforms(3, Purpose.MASK, rows + 200, ids),
        uniforms(3, Purpose.MASK, rows + 2**32, ids),
        uniforms(3, Purpose.MASK, rows, ids + 500),
    ]
    for i, x in enumerate([base, *others]):
        for y in others[i:]:
            assert abs(correlation(x, y)) < limit


@pytest.mark.parametrize("p", [0.05, 0.35, 0.5, 0.9])
def test_the_share_of_ones_is_p(p: float) -> None:
    # 5 sigma, false alarm 6e-7 a case.
    masks = Bernoulli(p=p, seed=2).weights(torch.arange(400), 500)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert abs(masks.mean() - p) < 5 * math.sqrt(p * (1 - p) / masks.numel())


def test_orders_of_three_are_equally_likely() -> None:
    # Chi-square with 5 degrees of freedom exceeds 35.9 with probability 1e-6.
    n = 1200
    drawn = [
        tuple(permutation(0, Purpose.ORDER, model, torch.arange(3)).tolist())
        for model in range(n)
    ]
    counts = [drawn.count(order) for order in permutations(range(3))]
    assert sum(counts) == n
    assert sum((c - n / 6) ** 2 / (n / 6) for c in counts) < 35.9


@given(
    seed=st.integers(0, 2**32),
    kept=st.lists(st.integers(0, 49), min_size=1, unique=True),
)
def test_dropping_or_reordering_ids_keeps_the_order_of_the_others(
    seed: int, kept: list[int]
) -> None:
    everything = permutation(seed, Purpose.ORDER, 1, torch.arange(50)).tolist()
    assert sorted(everything) == list(range(50))
    ids = torch.tensor(kept)
    some = ids[permutation(seed, Purpose.ORDER, 1, ids)].tolist()
    assert some == [i for i in everything if i in kept]


def test_seeds_of_a_million_models_are_distinct_and_in_range() -> None:
    # Two of 1e6 draws from 2^63 agree with probability 5e-8.
    seeds = model_seeds(0, torch.arange(10**6))
    assert seeds.min() >= 0
    assert len(seeds.unique()) == 10**6


@pytest.mark.parametrize("seed", [True, 1.0, "1", None])
def test_a_seed_of_another_type_is_refused(seed: object) -> None:
    with unchecked(), pytest.raises(TypeError, match="seed must be an int, got"):
        Bernoulli(p=0.5, seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=r"seed must lie in \[0, 2\^64\), got"):
        Bernoulli(p=0.5, seed=seed)

"""Designs: which weights and seeds each row has."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from dmtheory.designs import (
    Bernoulli,
    ComplementaryPairs,
    CoordinatePairs,
    Design,
    DisjointBlocks,
    FixedSize,
    Grouped,
    LeaveOneOut,
    Nudges,
    RandomDirections,
    Replicates,
    Stratified,
    SubsetPairs,
    random_coordinates,
)
from dmtheory.designs.describe import (
    design_from_json,
    design_to_json,
    resized,
    without_count,
)
from dmtheory.designs.seeds import model_seeds

N_TRAIN = 6


def whole(design: Design) -> tuple[Tensor, Tensor]:
    rows = torch.arange(design.n_models)
    return design.weights(rows, N_TRAIN), design.seeds(rows)


@pytest.mark.parametrize("law", ["rademacher", "gaussian", "sparse"])
def test_random_directions_move_all_weights_both_ways_to_full_precision(
    law: str,
) -> None:
    design = RandomDirections(at=0.5, step=0.1, law=law, n_pairs=500, seed=3)
    weights, seeds = whole(design)
    up, down = weights[::2], weights[1::2]
    torch.testing.assert_close(
        up + down, torch.ones_like(up), rtol=0, atol=1e-15, check_dtype=True
    )
    assert torch.equal(seeds[::2], seeds[1::2])
    if law == "gaussian":
        return
    reach = 0.1 if law == "rademacher" else 0.1 / math.sqrt(0.1)
    sizes = (up - 0.5).abs()
    moved = sizes[sizes > 0]
    torch.testing.assert_close(moved, torch.full_like(moved, reach), rtol=0, atol=1e-15)


def test_the_largest_step_along_a_cut_normal_keeps_weights_positive() -> None:
    # Pair 1575 has an entry at the cut; most have none.
    design = RandomDirections(at=1.0, step=0.25, law="gaussian", n_pairs=1600, seed=3)
    weights = design.weights(torch.tensor([3150, 3151]), 1000)
    assert weights.min() < 0.01
    assert weights.min() >= 0


def test_masks_do_not_depend_on_how_many_examples_are_asked_for() -> None:
    rows = torch.arange(5)
    law = Bernoulli(p=0.4, seed=1)
    assert torch.equal(law.weights(rows, 40)[:, :7], law.weights(rows, 7))


def test_every_subset_of_a_bernoulli_design_has_its_own_seed() -> None:
    _, seeds = whole(Bernoulli(p=0.5, n_models=500, seed=0))
    assert len(seeds.unique()) == 500


def test_complementary_pairs_are_complements_with_one_seed() -> None:
    weights, seeds = whole(ComplementaryPairs(n_pairs=200, seed=3))
    assert torch.equal(weights[::2] + weights[1::2], torch.ones(200, N_TRAIN).double())
    assert set(weights.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(seeds[::2], seeds[1::2])
    assert len(seeds.unique()) == 200


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_antithetic_subsets_have_the_stated_law_and_covariance(p: float) -> None:
    # Each of the two checks raises a false alarm at 5 sigma: 6e-7.
    rows, n_train = torch.arange(1000), 200
    law = Bernoulli(p=p, seed=4)
    first, second = law.weights(rows, n_train), law.antithetic_weights(rows, n_train)
    n = first.numel()
    covariance = max(0.0, 2 * p - 1) - p**2
    both = covariance + p**2
    assert abs(second.mean() - p) < 5 * math.sqrt(p * (1 - p) / n)
    tolerance = 5 * math.sqrt(both * (1 - both) / n)
    assert abs((first * second).mean() - both) <= tolerance
    if p == 0.5:
        assert torch.equal(second, 1 - first)


def test_coordinate_pairs_move_one_weight_up_and_down() -> None:
    design = CoordinatePairs(
        at=(0.5, 0.6, 0.7), steps=(0.25, 0.1), coordinates=(2, 0), n_seeds=2, seed=9
    )
    one_seed = [
        [0.5, 0.6, 0.7 + 0.25],
        [0.5, 0.6, 0.7 - 0.25],
        [0.5 + 0.25, 0.6, 0.7],
        [0.5 - 0.25, 0.6, 0.7],
        [0.5, 0.6, 0.7 + 0.1],
        [0.5, 0.6, 0.7 - 0.1],
        [0.5 + 0.1, 0.6, 0.7],
        [0.5 - 0.1, 0.6, 0.7],
    ]
    rows = torch.arange(16)
    assert design.n_models == 16
    assert design.weights(rows, 3).tolist() == one_seed + one_seed
    first, second = model_seeds(9, torch.arange(2)).tolist()
    assert design.seeds(rows).tolist() == [first] * 8 + [second] * 8


MOVES = (((2, 0.25),), ((0, -0.5), (2, 0.1)), (), ((1, 0.25), (1, 0.25)))


def test_nudges_move_what_each_row_says_and_share_the_seed() -> None:
    design = Nudges(at=(0.5, 0.6, 0.7), moves=MOVES, n_seeds=2, seed=9)
    one_seed = torch.tensor(
        [[0.5, 0.6, 0.95], [0.0, 0.6, 0.8], [0.5, 0.6, 0.7], [0.5, 1.1, 0.7]],
        dtype=torch.float64,
    )
    rows = torch.arange(8)
    assert design.n_models == 8
    found = design.weights(rows, 3)
    torch.testing.assert_close(found, torch.cat([one_seed, one_seed]))
    shuffled = torch.tensor([6, 1, 1, 7, 0])
    assert torch.equal(design.weights(shuffled, 3), found[shuffled])
    first, second = model_seeds(9, torch.arange(2)).tolist()
    assert design.seeds(rows).tolist() == [first] * 4 + [second] * 4
    expected = torch.cov(found.T, correction=0)
    torch.testing.assert_close(design.covariance(3), expected, rtol=0, atol=1e-15)


def test_nudged_groups_move_as_one_from_weights_of_their_own() -> None:
    at = (0.5, 0.6, 0.7, 0.8, 0.9)
    design = Nudges(at=at, moves=MOVES, groups=(2, 0, 1, 2, 0))
    rows = torch.arange(4)
    moves = Nudges(at=1.0, moves=MOVES).weights(rows, 3) - 1
    expected = torch.tensor(at, dtype=torch.float64) + moves[:, [2, 0, 1, 2, 0]]
    torch.testing.assert_close(design.weights(rows, 5), expected, rtol=0, atol=1e-15)


def test_a_nudge_onto_the_boundary_ends_on_it() -> None:
    # .3 - .1 - .1 - .1 is 5e-17 in float64, with 7 times .1/7 as moves negative.
    moves = tuple(((0, -0.7 / n),) * n for n in (1, 3, 7, 9))
    weights, _ = whole(Nudges(at=0.7, moves=moves))
    assert bool((weights >= 0).all())
    assert weights[:, 0].max() < 1e-15


@pytest.mark.parametrize(
    "design",
    [
        Nudges(at=1.0, moves=MOVES, n_seeds=3, seed=1),
        Nudges(at=(1.0,) * 6, moves=MOVES, groups=(0, 1, 2, 2, 1, 0), n_seeds=3),
        SubsetPairs(
            p=0.3, step=0.1, coordinates=(1,), groups=(0, 1, 2, 2, 1, 0), n_units=3
        ),
    ],
)
def test_a_description_survives_json_and_grows_by_its_seeds(design: Design) -> None:
    again = design_from_json(design_to_json(design))
    assert again == design
    longer = resized(again, 2 * design.n_models)
    rows = torch.arange(design.n_models)
    for one, other in zip(whole(design), whole(again), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(longer.weights(rows, N_TRAIN), design.weights(rows, N_TRAIN))
    assert torch.equal(longer.seeds(rows), design.seeds(rows))
    stated = without_count(design_to_json(design))
    assert without_count(design_to_json(longer)) == stated


def test_subset_pairs_of_groups_are_those_of_the_players() -> None:
    groups = (0, 1, 2, 2, 1, 0)
    players = SubsetPairs(p=0.3, step=0.1, coordinates=(2, 0), n_units=5, seed=3)
    design = SubsetPairs(
        p=0.3, step=0.1, coordinates=(2, 0), groups=groups, n_units=5, seed=3
    )
    rows = torch.arange(design.n_models)
    expected = players.weights(rows, 3)[:, list(groups)]
    assert torch.equal(design.weights(rows, 6), expected)
    assert torch.equal(design.seeds(rows), players.seeds(rows))
    group = torch.tensor(groups)
    covariance = players.covariance(3)[group[:, None], group]
    assert torch.equal(design.covariance(6), covariance)


@pytest.mark.parametrize(
    ("law", "kurtosis"), [("rademacher", 1.0), ("gaussian", None), ("sparse", 4.0)]
)
def test_the_fourth_moment_of_a_direction_is_that_of_its_law(
    law: str, kurtosis: float | None
) -> None:
    # A normal cut at c with c^2 = 16 E x^2, from scipy's own integrals; the sample's
    # fourth moment within 5 standard errors: 6e-7 a law.
    design = RandomDirections(at=1.0, step=0.1, law=law, density=0.25, seed=4)
    if kurtosis is None:
        cut = 3.9978405908064003
        moments = [
            integrate.quad(lambda x, k=k: x**k * stats.norm.pdf(x), -cut, cut)[0]
            for k in (0, 2, 4)
        ]
        kurtosis = moments[0] * moments[2] / moments[1] ** 2
        assert 2.9 < kurtosis < 3
    assert design.kurtosis == pytest.approx(kurtosis, rel=1e-9)
    fourth = design.directions(torch.arange(2000), 50) ** 4
    error = fourth.std() / math.sqrt(fourth.numel())
    assert abs(fourth.mean() - kurtosis) <= 5 * error


def test_leave_one_out_trains_on_all_and_then_on_all_but_one() -> None:
    design = LeaveOneOut(coordinates=(2, 0), n_seeds=2, seed=9)
    one_seed = [[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]
    rows = torch.arange(6)
    assert design.n_models == 6
    assert design.weights(rows, 3).tolist() == one_seed + one_seed
    first, second = model_seeds(9, torch.arange(2)).tolist()
    assert design.seeds(rows).tolist() == [first] * 3 + [second] * 3


def test_subset_pairs_move_one_weight_around_a_node_of_a_random_subset() -> None:
    coordinates, step, n_units = (3, 1, 5), 0.1, 4
    design = SubsetPairs(
        p=0.5, step=step, coordinates=coordinates, n_units=n_units, seed=2
    )
    weights, seeds = whole(design)
    # Rows come as (unit, subset or its opposite, coordinate, side).
    table = weights.unflatten(0, (n_units, 2, 3, 2))
    # The equal-weight rule of four points on [0, 1]; one mirrored pair a unit.
    reaches = [math.sqrt((1 + s * 2 / math.sqrt(5)) / 3) / 2 for s in (1, -1)]
    nodes = 0.5 + torch.tensor([[-r, r] for r in reaches], dtype=torch.float64)
    moves = torch.tensor([step, -step], dtype=torch.float64)
    expected = nodes[:, :, None] + moves  # which pair, subset, side
    drawn = set()
    for place, coordinate in enumerate(coordinates):
        others = [i for i in range(N_TRAIN) if i != coordinate]
        moved = table[:, :, place]
        for unit in moved[..., coordinate]:
            gaps = (expected - unit).abs().amax((1, 2))
            assert gaps.min() <= 1e-15
            drawn.add(int(gaps.argmin()))
        rest = moved[..., others]
        assert set(rest.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(rest[:, :, 0], rest[:, :, 1])  # both sides, one subset
        assert torch.equal(rest[:, 0], 1 - rest[:, 1])  # opposite at p = 1/2
    assert drawn == {0, 1}  # both pairs of nodes among 12 draws
    pairs = seeds.unflatten(0, (-1, 2))
    assert torch.equal(pairs[:, 0], pairs[:, 1])
    assert len(pairs.unique()) == len(pairs)


def test_subsets_of_subset_pairs_follow_the_stated_law() -> None:
    # 5 sigma; the two opposite subsets of a unit are negatively correlated, so the
    # variance of independent draws is an upper bound: false alarm below 6e-7.
    design = SubsetPairs(p=0.3, step=0.1, coordinates=(0,), n_units=2000, seed=0)
    weights, _ = whole(design)
    others = weights[::2, 1:]
    assert abs(others.mean() - 0.3) < 5 * math.sqrt(0.3 * 0.7 / others.numel())


def test_random_coordinates_are_sorted_distinct_and_nested() -> None:
    few = random_coordinates(30, 7, seed=1)
    many = random_coordinates(30, 20, seed=1)
    assert len(set(few)) == 7
    assert list(few) == sorted(few)
    assert set(few) < set(many) < set(range(30))
    assert random_coordinates(30, 30, seed=1) == tuple(range(30))
    assert few != random_coordinates(30, 7, seed=2)


some = {"coordinates": (0,)}
BAD_INPUTS: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (Bernoulli, {"p": 0.0}, r"p must lie in \(0, 1\), got 0"),
    (Bernoulli, {"p": 1.0}, r"p must lie in \(0, 1\), got 1"),
    (Bernoulli, {"p": math.nan}, r"p must lie in \(0, 1\), got nan"),
    (Bernoulli, {"p": 0.5, "n_models": 0}, "n_models must be at least 1, got 0"),
    (ComplementaryPairs, {"n_pairs": 0}, "n_pairs must be at least 1, got 0"),
    (ComplementaryPairs, {"seed": -1}, "seed must lie in"),
    (
        CoordinatePairs,
        {"at": 0.0, "steps": (0.1,), **some},
        "at must be finite and > 0, got 0",
    ),
    (
        CoordinatePairs,
        {"at": 1.0, "steps": (math.inf,), **some},
        "step must be finite and > 0, got inf",
    ),
    (
        CoordinatePairs,
        {"at": 0.5, "steps": (0.1, 0.6), **some},
        "step must keep weights >= 0: the largest move is 0.6 where .* is 0.5",
    ),
    (
        CoordinatePairs,
        {"at": 1.0, "steps": (0.1,), "coordinates": ()},
        "number of coordinates must be at least 1, got 0",
    ),
    (
        SubsetPairs,
        {"p": 0.5, "step": 0.22, **some},
        "step must not exceed 0.103 .* got 0.22",
    ),
    (
        SubsetPairs,
        {"p": 0.5, "step": 0.1, "n_units": 0, **some},
        "n_units must be at least 1, got 0",
    ),
    (
        CoordinatePairs,
        {"at": 1.0, "steps": (), **some},
        "number of steps must be at least 1, got 0",
    ),
    (
        RandomDirections,
        {"at": 1.0, "step": 0.3, "law": "gaussian"},
        "step must keep weights >= 0: the largest move is 1.2 where .* is 1",
    ),
    (
        RandomDirections,
        {"at": 1.0, "step": 0.3, "law": "uniform"},
        "law must be one of rademacher, gaussian, sparse; got 'uniform'",
    ),
    (Nudges, {"at": 1.0, "moves": ()}, "number of moves must be at least 1, got 0"),
    (
        Nudges,
        {"at": 1.0, "moves": (((-1, 0.1),),)},
        "a player of moves must be at least 0, got -1",
    ),
    (
        Nudges,
        {"at": 1.0, "moves": (((0, math.nan),),)},
        "moves must be finite, got nan",
    ),
    (Nudges, {"at": 1.0, "moves": ((),), "n_seeds": 0}, "n_seeds must be at least 1"),
    (FixedSize, {"size": 0}, "size must be at least 1, got 0"),
    (DisjointBlocks, {"parts": 1}, "parts must be at least 2, got 1"),
    (
        Stratified,
        {"strata": (0, 0, 1), "fraction": 0.5},
        r"a stratum's size must lie in \[1, 1\), got 0",
    ),
    (
        Grouped,
        {"design": Bernoulli(p=0.5), "groups": (0, 2)},
        "groups must number every example 0, ..., G - 1 with no group empty",
    ),
    (
        Replicates,
        {"design": Bernoulli(p=0.5), "n_replicates": 1},
        "n_replicates must be at least 2, got 1",
    ),
    (LeaveOneOut, {"n_seeds": 0, **some}, "n_seeds must be at least 1, got 0"),
    (
        random_coordinates,
        {"n_train": 3, "n": 4, "seed": 0},
        r"n must lie in \[1, 3\], got 4",
    ),
]


@pytest.mark.parametrize(("make", "arguments", "message"), BAD_INPUTS)
def test_a_bad_argument_is_named(
    make: Callable[..., Any], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        ((0, 3), r"coordinates must lie in \[0, 3\), got 3"),
        ((-1,), r"coordinates must lie in \[0, 3\), got -1"),
        ((1, 1), "coordinates must be distinct"),
    ],
)
def test_coordinates_must_be_distinct_examples(
    coordinates: tuple[int, ...], message: str
) -> None:
    for design in (
        CoordinatePairs(at=1.0, steps=(0.1,), coordinates=coordinates),
        SubsetPairs(p=0.5, step=0.1, coordinates=coordinates),
        LeaveOneOut(coordinates=coordinates),
    ):
        with pytest.raises(ValueError, match=message):
            design.weights(torch.arange(2), 3)


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (Nudges(at=1.0, moves=(((3, 0.1),),)), r"players in \[0, 3\), got 3"),
        (Nudges(at=0.1, moves=(((0, -0.2),),)), "moves must keep weights >= 0, got -0"),
        (Nudges(at=(1.0,), moves=((),)), r"at must have one weight an example \(3\)"),
        (
            Nudges(at=1.0, moves=((),), groups=(0, 1)),
            r"groups must have one entry an example \(3\), got 2",
        ),
        (
            Nudges(at=1.0, moves=((),), groups=(0, 2, 2)),
            "groups must number every example",
        ),
        (
            SubsetPairs(p=0.3, step=0.1, coordinates=(0,), groups=(0, 1)),
            r"groups must have one entry an example \(3\), got 2",
        ),
        (
            SubsetPairs(p=0.3, step=0.1, coordinates=(2,), groups=(0, 1, 0)),
            r"coordinates must lie in \[0, 2\), got 2",
        ),
    ],
)
def test_moves_must_fit_the_problem(design: Design, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        design.weights(torch.arange(1), 3)

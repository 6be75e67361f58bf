"""What every design promises: rows from the description alone, exact moments."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dmtheory import designs
from dmtheory.designs.describe import (
    design_from_json,
    design_to_json,
    parse_design,
    resized,
    without_count,
)

N = 6
HALVES = (0, 0, 0, 1, 1, 1)
THIRDS = (2, 0, 1, 1, 0, 2)

# Each has enough rows for its sample moments to settle.
RANDOM = [
    designs.Bernoulli(p=0.3, n_models=30_000, seed=1),
    designs.ComplementaryPairs(n_pairs=15_000, seed=2),
    designs.AntitheticPairs(p=0.7, n_pairs=15_000, seed=3),
    designs.AntitheticPairs(p=0.2, n_pairs=15_000, seed=3),
    designs.DisjointBlocks(parts=3, n_blocks=10_000, seed=4),
    designs.FixedSize(size=2, n_models=30_000, seed=5),
    designs.Stratified(strata=HALVES, fraction=0.4, n_models=30_000, seed=6),
    designs.LeaveKOut(k=2, n_models=30_000, seed=7),
    designs.Grouped(
        design=designs.Bernoulli(p=0.4, n_models=30_000, seed=8), groups=THIRDS
    ),
    designs.Replicates(
        design=designs.FixedSize(size=3, n_models=15_000, seed=9), n_replicates=2
    ),
    designs.RandomDirections(at=0.5, step=0.25, n_pairs=15_000, seed=10),
    designs.RandomDirections(at=1.0, step=0.2, law="gaussian", n_pairs=15_000, seed=11),
    designs.RandomDirections(
        at=(0.5, 1.0, 0.5, 1.0, 0.5, 1.0),
        step=0.1,
        law="sparse",
        density=0.2,
        n_pairs=15_000,
        seed=12,
    ),
    designs.SubsetPairs(p=0.3, step=0.05, coordinates=(0, 4), n_units=4_000, seed=13),
]
ENUMERATED = [
    designs.CoordinatePairs(
        at=1.0, steps=(0.1, 0.3), coordinates=(1, 4), n_seeds=2, seed=14
    ),
    designs.LeaveOneOut(coordinates=(0, 3, 5), n_seeds=2, seed=15),
]
ALL = RANDOM + ENUMERATED


def name(design: designs.Design) -> str:
    return type(design).__name__


@pytest.mark.parametrize("design", ALL, ids=name)
@given(data=st.data())
def test_rows_come_from_the_description_alone(design, data) -> None:
    """In any order, any block and any repetition."""
    rows = torch.tensor(
        data.draw(st.lists(st.integers(0, design.n_models - 1), min_size=1, max_size=9))
    )
    together = design.weights(rows, N), design.seeds(rows)
    for place, row in enumerate(rows):
        assert torch.equal(design.weights(row[None], N)[0], together[0][place])
        assert design.seeds(row[None])[0] == together[1][place]


@pytest.mark.parametrize("design", ALL, ids=name)
def test_description_survives_json(design) -> None:
    again = design_from_json(design_to_json(design))
    rows = torch.arange(min(12, design.n_models))
    assert again == design
    assert torch.equal(again.weights(rows, N), design.weights(rows, N))


@pytest.mark.parametrize("design", ALL, ids=name)
def test_growing_keeps_rows_and_identity(design) -> None:
    longer = resized(design, 2 * design.n_models)
    rows = torch.arange(min(12, design.n_models))
    assert longer.n_models == 2 * design.n_models
    assert torch.equal(longer.weights(rows, N), design.weights(rows, N))
    assert torch.equal(longer.seeds(rows), design.seeds(rows))
    assert without_count(design_to_json(longer)) == without_count(
        design_to_json(design)
    )


@pytest.mark.parametrize("design", RANDOM, ids=name)
def test_covariance_is_that_of_the_rows(design) -> None:
    """Each entry within 5.5 standard errors: a false alarm below 1e-5 over all."""
    weights = design.weights(torch.arange(design.n_models), N)
    centred = weights - weights.mean(0)
    products = centred[:, :, None] * centred[:, None, :]
    # Rows of a pair depend on one another; half as many are independent at worst.
    error = products.std(0) / (design.n_models / 3) ** 0.5
    gap = (products.mean(0) - design.covariance(N)).abs()
    assert bool((gap <= 5.5 * error + 1e-12).all())


@pytest.mark.parametrize("design", ENUMERATED, ids=name)
def test_covariance_of_enumerated_rows_is_exact(design) -> None:
    weights = design.weights(torch.arange(design.n_models), N)
    expected = torch.cov(weights.T, correction=0)
    torch.testing.assert_close(design.covariance(N), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    "design", [d for d in RANDOM if hasattr(d, "cross_covariance")], ids=name
)
def test_cross_covariance_of_a_block(design) -> None:
    """Between the first two rows of each block, within 5.5 standard errors."""
    size = getattr(design, "parts", 2)
    weights = design.weights(torch.arange(design.n_models), N)
    mean = weights.mean(0)
    first, second = weights[::size] - mean, weights[1::size] - mean
    products = first[:, :, None] * second[:, None, :]
    error = products.std(0) / len(first) ** 0.5
    gap = (products.mean(0) - design.cross_covariance(N)).abs()
    assert bool((gap <= 5.5 * error + 1e-12).all())


@pytest.mark.parametrize(
    "design", [d for d in RANDOM if isinstance(d, designs.SubsetDesign)], ids=name
)
def test_inclusion_and_null_directions(design) -> None:
    """Masks never vary along null directions, and in all others they do."""
    players = getattr(design, "n_groups", N)
    inner = design.design if isinstance(design, designs.Grouped) else design
    weights = inner.weights(torch.arange(inner.n_models), players)
    assert weights.mean().item() == pytest.approx(design.inclusion(N), abs=0.01)
    null = design.null_directions(N)
    torch.testing.assert_close(null @ null.T, torch.eye(len(null)).double())
    rank = torch.linalg.matrix_rank(weights - weights.mean(0))
    assert rank == players - len(null)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.7])
def test_antithetic_pairs_share_seed_and_oppose(p: float) -> None:
    design = designs.AntitheticPairs(p=p, n_pairs=50, seed=1)
    rows = torch.arange(100)
    weights, seeds = design.weights(rows, 40), design.seeds(rows)
    assert torch.equal(seeds[::2], seeds[1::2])
    assert len(seeds.unique()) == 50
    both = weights[::2] * weights[1::2]
    neither = (1 - weights[::2]) * (1 - weights[1::2])
    # [u < p] and [1 - u < p] overlap only above p = 1/2 and leave a gap only below.
    assert bool(both.any()) == (p > 0.5)
    assert bool(neither.any()) == (p < 0.5)


def test_blocks_partition_the_examples() -> None:
    design = designs.DisjointBlocks(parts=4, n_blocks=30, seed=2)
    weights = design.weights(torch.arange(120), 25).unflatten(0, (30, 4))
    assert torch.equal(weights.sum(1), torch.ones(30, 25).double())


def test_sizes_are_exact() -> None:
    rows = torch.arange(200)
    fixed = designs.FixedSize(size=7, n_models=200).weights(rows, 20)
    assert bool((fixed.sum(1) == 7).all())
    left = designs.LeaveKOut(k=3, n_models=200).weights(rows, 20)
    assert bool((left.sum(1) == 17).all())
    strata = tuple([0] * 10 + [1] * 4 + [2] * 6)
    drawn = designs.Stratified(strata=strata, fraction=0.5, n_models=200)
    weights = drawn.weights(rows, 20)
    for stratum, size in ((slice(0, 10), 5), (slice(10, 14), 2), (slice(14, 20), 3)):
        assert bool((weights[:, stratum].sum(1) == size).all())


def test_replicates_differ_in_their_seed_alone() -> None:
    pairs = designs.ComplementaryPairs(n_pairs=10, seed=3)
    design = designs.Replicates(design=pairs, n_replicates=3)
    rows = torch.arange(60)
    weights, seeds = design.weights(rows, 8), design.seeds(rows)
    by_row = seeds.unflatten(0, (20, 3))
    assert len(by_row[::2].unique()) == 30
    # The two rows of a pair share each replicate's seed.
    assert torch.equal(by_row[::2], by_row[1::2])
    assert torch.equal(weights[::3], weights[1::3])
    assert torch.equal(weights[::3], pairs.weights(torch.arange(20), 8))


def test_groups_partition_and_move_as_one() -> None:
    groups = designs.random_groups(103, 10, seed=4)
    sizes = torch.bincount(torch.tensor(groups))
    assert sizes.min() == 10
    assert sizes.max() == 11
    inner = designs.Bernoulli(p=0.5, n_models=20, seed=5)
    weights = designs.Grouped(design=inner, groups=groups).weights(
        torch.arange(20), 103
    )
    for example, group in enumerate(groups):
        expected = inner.weights(torch.arange(20), 10)[:, group]
        assert torch.equal(weights[:, example], expected)


def test_class_and_cluster_groups() -> None:
    assert designs.class_groups([7, 3, 7, 5]) == (2, 0, 2, 1)
    far = torch.tensor([[0.0], [0.1], [9.0], [9.1]], dtype=torch.float64)
    first = designs.cluster_groups(far, 2, seed=0)
    assert first[0] == first[1] != first[2] == first[3]


def test_half_steps_around_one_half_are_complementary_pairs() -> None:
    design = designs.RandomDirections(at=0.5, step=0.5, n_pairs=20, seed=6)
    weights = design.weights(torch.arange(40), 9)
    assert set(weights.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(weights[::2], 1 - weights[1::2])


def test_a_ladder_of_steps_shares_its_seeds() -> None:
    design = designs.CoordinatePairs(
        at=1.0, steps=(0.1, 0.2, 0.4), coordinates=(2, 0), n_seeds=2, seed=7
    )
    rows = torch.arange(design.n_models)
    moves = (design.weights(rows, 3) - 1).sum(1).unflatten(0, (2, 3, 2, 2))
    expected = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    torch.testing.assert_close(moves[0, :, 0, 0], expected)
    torch.testing.assert_close(moves[1, :, 1, 1], -expected)
    assert len(design.seeds(rows).unique()) == 2


# Frozen on the day the designs were made: a change moves every stored run.
GOLDEN_ROWS = {
    "Bernoulli": (3748, 1262306273377763501),
    "ComplementaryPairs": (1225, 8540638629764036784),
    "AntitheticPairs": (1032, 8540638629764036784),
    "DisjointBlocks": (2184, 1604680279177231238),
    "FixedSize": (1700, 1262306273377763501),
    "Stratified": (1956, 1262306273377763501),
    "LeaveKOut": (2431, 1262306273377763501),
    "RandomDirections": (515, 8540638629764036784),
}


def test_golden_rows() -> None:
    """Row 5 of each design with seed 11, as the integer whose bits are its mask."""
    bits = 2 ** torch.arange(12)
    found = {}
    for design in (
        designs.Bernoulli(p=0.4, n_models=9, seed=11),
        designs.ComplementaryPairs(n_pairs=9, seed=11),
        designs.AntitheticPairs(p=0.3, n_pairs=9, seed=11),
        designs.DisjointBlocks(parts=3, n_blocks=9, seed=11),
        designs.FixedSize(size=5, n_models=9, seed=11),
        designs.Stratified(strata=(0, 1) * 6, fraction=0.5, n_models=9, seed=11),
        designs.LeaveKOut(k=3, n_models=9, seed=11),
        designs.RandomDirections(at=0.5, step=0.5, n_pairs=9, seed=11),
    ):
        row = torch.tensor([5])
        mask = int((design.weights(row, 12)[0].long() * bits).sum())
        found[name(design)] = (mask, int(design.seeds(row)[0]))
    assert found == GOLDEN_ROWS


@pytest.mark.parametrize(
    ("text", "design"),
    [
        ("bernoulli:0.25", designs.Bernoulli(p=0.25, n_models=12, seed=1)),
        ("fixed-size:3", designs.FixedSize(size=3, n_models=12, seed=1)),
        ("leave-k-out:2", designs.LeaveKOut(k=2, n_models=12, seed=1)),
        ("pairs", designs.ComplementaryPairs(n_pairs=6, seed=1)),
        ("antithetic:0.3", designs.AntitheticPairs(p=0.3, n_pairs=6, seed=1)),
        ("blocks:4", designs.DisjointBlocks(parts=4, n_blocks=3, seed=1)),
    ],
)
def test_short_texts(text: str, design: designs.Design) -> None:
    assert parse_design(text, n_models=12, seed=1) == design


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: parse_design("pairs:2", n_models=4, seed=0), "design must look like"),
        (lambda: parse_design("bernoulli:x", n_models=4, seed=0), "bernoulli:x"),
        (lambda: parse_design("bernoulli:2", n_models=4, seed=0), r"p must lie in \(0"),
        (lambda: parse_design("pairs", n_models=5, seed=0), "multiple of 2"),
        (lambda: designs.FixedSize(size=0), "size must be at least 1"),
        (lambda: designs.FixedSize(size=9).weights(torch.arange(1), 9), "size must"),
        (lambda: designs.Stratified(strata=(0, 1, 1), fraction=0.5), "stratum"),
        (lambda: designs.DisjointBlocks(parts=1), "parts must be at least 2"),
        (
            lambda: designs.Replicates(design=designs.Bernoulli(p=0.5), n_replicates=1),
            "n_replicates must be at least 2",
        ),
        (
            lambda: designs.Grouped(design=designs.Bernoulli(p=0.5), groups=(0, 2)),
            "groups must number",
        ),
        (
            lambda: designs.Grouped(
                design=designs.Bernoulli(p=0.5), groups=(0, 1)
            ).weights(torch.arange(1), 3),
            "one entry an example",
        ),
        (lambda: designs.RandomDirections(at=0.5, step=0.6), "weights >= 0"),
        (
            lambda: designs.RandomDirections(at=0.5, step=0.2, law="gaussian"),
            "weights >= 0",
        ),
        (
            lambda: designs.CoordinatePairs(at=0.2, steps=(0.3,), coordinates=(0,)),
            "weights >= 0",
        ),
        (
            lambda: designs.CoordinatePairs(
                at=(0.5, 0.5), steps=(0.1,), coordinates=(2,)
            ),
            "coordinates must lie in",
        ),
        (lambda: design_from_json({"kind": "os.system"}), "known kind"),
        (lambda: resized(replace(RANDOM[1], n_pairs=1), 3), "multiple of 2"),
    ],
)
def test_bad_input_names_the_argument(make, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()

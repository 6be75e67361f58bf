"""What a description fixes: seeds it starts from, whole units, subsets apart."""

import pytest
import torch

from dmtheory import designs
from dmtheory.designs import seeds
from dmtheory.designs.describe import resized
from dmtheory.designs.law import block_structure
from dmtheory.designs.seeds import Purpose, permutations


@pytest.mark.parametrize(
    "law",
    [
        designs.ComplementaryPairs(n_pairs=2),
        designs.FixedSize(size=2),
        designs.SubsetPairs(p=0.5, step=0.1, coordinates=(0,), n_units=2),
    ],
)
def test_seeds_are_0_unless_stated(
    law: designs.SubsetDesign | designs.SubsetPairs,
) -> None:
    assert law.seed == 0


def test_models_are_whole_units_and_at_least_one() -> None:
    law = designs.DisjointBlocks(parts=3, n_blocks=4)
    assert [resized(law, n).n_models for n in (3, 6)] == [3, 6]
    for n_models in (0, 4):
        with pytest.raises(ValueError, match="positive multiple of 3"):
            resized(law, n_models)


def test_coordinates_of_a_unit_have_subsets_of_their_own() -> None:
    law = designs.SubsetPairs(p=0.5, step=0.1, coordinates=(0, 1, 2), n_units=4)
    rows = torch.arange(law.n_models)
    # Beside the coordinates 40 examples: equal by chance once in 1e12.
    rest = law.weights(rows, 43)[:, 3:]
    assert len(rest.unique(dim=0)) == 2 * 3 * 4


def test_all_coordinates_and_steps_of_a_seed_are_trained_with_it() -> None:
    law = designs.CoordinatePairs(
        at=1.0, steps=(0.1, 0.2), coordinates=(0, 1, 2), n_seeds=3
    )
    found = law.seeds(torch.arange(law.n_models)).unflatten(0, (3, 12))
    assert bool((found == found[:, :1]).all())
    assert len(found.unique()) == 3


def test_a_permutation_sorts_by_both_words(monkeypatch: pytest.MonkeyPatch) -> None:
    words = torch.tensor([[5, 3, 5, 1, 4, 2**32 - 1, 5, 2]])
    monkeypatch.setattr(seeds, "random_words", lambda *_: words)
    found = permutations(0, Purpose.SPLIT, torch.arange(1), torch.arange(4))
    assert found.tolist() == [[2, 1, 3, 0]]


def test_only_means_of_pairs_that_vary_are_regressed() -> None:
    # At p = 1/2 antithetic rows are complements: their mean is constant.
    for p, varies in [(0.3, True), (0.5, False), (0.7, True)]:
        assert block_structure(designs.AntitheticPairs(p=p)) == (2, varies)
    assert block_structure(designs.DisjointBlocks(parts=3)) == (3, False)
    assert block_structure(designs.Bernoulli(p=0.3)) == (1, True)

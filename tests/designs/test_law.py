"""What a design says of a regression's rows, against its own covariance and masks."""

from typing import Any

import pytest
import torch

from dmtheory import designs
from dmtheory.designs import fixed_size
from dmtheory.designs.law import block_structure, check_law, variances
from dmtheory.designs.players import players_of

LAWS: dict[str, Any] = {
    "bernoulli": designs.Bernoulli(p=0.3, n_models=12),
    "fixed size": designs.FixedSize(size=2, n_models=12),
    "strata": designs.Stratified(strata=(0, 0, 0, 0, 1, 1), fraction=0.5, n_models=12),
    "leave out": designs.LeaveKOut(k=2, n_models=12),
    "pairs": designs.ComplementaryPairs(n_pairs=6),
    "antithetic": designs.AntitheticPairs(p=0.3, n_pairs=6),
    "antithetic above": designs.AntitheticPairs(p=0.7, n_pairs=6),
    "blocks": designs.DisjointBlocks(parts=3, n_blocks=4),
}
SIZES = {"pairs": 2, "antithetic": 2, "antithetic above": 2, "blocks": 3}


@pytest.mark.parametrize("name", LAWS)
def test_variances_are_those_of_the_covariance_less_its_null_directions(
    name: str,
) -> None:
    law = LAWS[name]
    null = law.null_directions(6)
    apart = torch.eye(6).double() - null.T @ null
    found = apart @ torch.diag(variances(law, 6)) @ apart
    torch.testing.assert_close(found, law.covariance(6))


def test_directions_have_the_variance_of_their_step() -> None:
    law = designs.RandomDirections(step=0.3, at=1.0)
    torch.testing.assert_close(variances(law, 2), torch.full((2,), 0.09).double())


@pytest.mark.parametrize("name", LAWS)
def test_masks_of_a_design_agree_with_it(name: str) -> None:
    law = LAWS[name]
    check_law(law.weights(torch.arange(12), 6), law)
    assert block_structure(law)[0] == SIZES.get(name, 1)
    if name in SIZES:
        with pytest.raises(ValueError, match=f"blocks of {SIZES[name]} .* 13 rows"):
            check_law(torch.zeros(13, 6).double(), law)


@pytest.mark.parametrize(
    ("name", "message"),
    [("pairs", "complementary pairs"), ("blocks", "partitions into 3 parts")],
)
def test_rows_that_are_no_parts_are_refused(name: str, message: str) -> None:
    masks = LAWS[name].weights(torch.arange(12), 6)
    masks[0, 0] = 1 - masks[0, 0]
    with pytest.raises(ValueError, match=message):
        check_law(masks, LAWS[name])


def test_a_share_may_be_off_by_eight_standard_deviations() -> None:
    law, sigma = designs.Bernoulli(p=0.5), 0.5 / 100
    for sign in (1, -1):
        for far in (7.5, 8.5):
            masks = torch.zeros(100, 100).double()
            masks.view(-1)[: round(10_000 * (0.5 + sign * far * sigma))] = 1
            if far < 8:
                check_law(masks, law)
            else:
                with pytest.raises(ValueError, match=r"p = 0\.5 was stated"):
                    check_law(masks, law)


def test_replicates_and_groups_are_taken_off() -> None:
    inner = designs.Bernoulli(p=0.5, n_models=3)
    grouped = designs.Grouped(design=inner, groups=(0, 1, 1, 0))
    assert grouped.group_labels == ("group 0", "group 1")
    found = players_of(
        designs.Replicates(design=grouped, n_replicates=4), ["a", "b", "c", "d"]
    )
    assert (found.design, found.n_replicates) == (inner, 4)
    assert found.labels == ("group 0", "group 1")
    plain = players_of(inner, ["a", "b"])
    assert (plain.labels, plain.groups, plain.n_replicates) == (("a", "b"), None, 1)
    with pytest.raises(ValueError, match="n_groups must be at least 1"):
        designs.random_groups(4, 0, seed=0)


def test_keys_are_ordered_by_their_words_then_by_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = torch.tensor([[5, 5, 4, 4]])
    monkeypatch.setattr(fixed_size, "random_words", lambda *_: words)
    law = designs.FixedSize(size=3)
    assert law.weights(torch.arange(1), 4).tolist() == [[1.0, 0.0, 1.0, 1.0]]
    assert fixed_size._keys(0, torch.arange(1), 4).argsort().tolist() == [[2, 3, 0, 1]]
    # A word weighs more than any number of examples.
    assert fixed_size._keys(0, torch.arange(1), 4).diff().abs().max() > 2**23

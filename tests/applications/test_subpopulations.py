"""Groups that act alike: found where planted, against scikit-learn and by hand."""

from typing import Any

import pytest
import torch
from samples import an_attribution, normal
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from dmtheory.applications import (
    embedding,
    permuted_columns,
    recovery,
    subpopulations,
)
from dmtheory.applications.rand_index import adjusted_rand
from dmtheory.applications.subpopulations import clusters, vectors_of

GROUPS = torch.arange(60) % 3


def grouped(noise: float, seed: int = 1) -> Tensor:
    """Scores of 60 examples in three groups, of very different sizes."""
    directions = normal(3, 12, seed=seed)
    sizes = torch.logspace(-2, 2, 60).double()[:, None]
    return sizes * (directions[GROUPS] + noise * normal(60, 12, seed=seed + 1))


def partitions(n: int, k: int, seed: int) -> Tensor:
    return torch.randint(k, (n,), generator=torch.Generator().manual_seed(seed))


def test_rand_index_is_scikit_learns() -> None:
    once = torch.ones(1, 40).double()
    for seed in range(8):
        a, b = partitions(40, 2 + seed % 4, seed), partitions(40, 3, 100 + seed)
        b = torch.where(torch.arange(40) < 5 * seed, a, b)
        expected = adjusted_rand_score(a, b)
        assert adjusted_rand(a, b, once).item() == pytest.approx(expected, abs=1e-12)
    alone = torch.zeros(40).long()
    assert adjusted_rand(alone, alone, once).item() == 1
    assert adjusted_rand(torch.arange(40), torch.arange(40), once).item() == 1
    assert adjusted_rand(alone, partitions(40, 3, 1), once).item() == 0


def test_repeated_examples_do_not_agree_with_themselves() -> None:
    # Every pair of different examples twice and four times: the same index.
    a, b = partitions(30, 3, 1), partitions(30, 3, 2)
    once, twice = torch.ones(1, 30).double(), torch.full((1, 30), 2.0).double()
    torch.testing.assert_close(adjusted_rand(a, b, once), adjusted_rand(a, b, twice))
    # Over many resamples the index of unrelated partitions stays near 0; counting
    # copies as pairs lifts it by about 1/30 x 2, ten times the error here.
    counts = torch.zeros(4000, 30).double()
    drawn = torch.randint(30, (4000, 30), generator=torch.Generator().manual_seed(3))
    counts.scatter_add_(1, drawn, torch.ones_like(counts))
    value = adjusted_rand(a, b, once).item()
    assert adjusted_rand(a, b, counts).mean().item() == pytest.approx(value, abs=0.01)


def test_embedding_is_pca_of_directions() -> None:
    vectors = grouped(0.3)
    points = embedding(vectors, 4)
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    expected = torch.from_numpy(PCA(4, svd_solver="full").fit_transform(unit.numpy()))
    torch.testing.assert_close(points.abs(), expected.abs(), rtol=1e-8, atol=1e-10)
    # An example that acts on nobody stays in the middle and breaks nothing.
    vectors[7] = 0
    assert bool(torch.isfinite(embedding(vectors, 99)).all())
    assert embedding(vectors, 99).shape == (60, 12)


def test_planted_groups_come_back_whatever_the_sizes() -> None:
    attribution = an_attribution(grouped(0.2))
    found = subpopulations(attribution, 3, n_components=5)
    assert adjusted_rand_score(GROUPS, found) == 1
    # Columns are embedded by their rows.
    turned = an_attribution(grouped(0.2).T)
    assert torch.equal(vectors_of(turned, "targets"), grouped(0.2))
    found = subpopulations(turned, 3, axis="targets", n_components=5)
    assert adjusted_rand_score(GROUPS, found) == 1


def test_permuted_columns_keep_numbers_and_lose_groups() -> None:
    vectors = grouped(0.2)
    shuffled = permuted_columns(vectors, seed=4)
    assert torch.equal(shuffled.sort(0).values, vectors.sort(0).values)
    assert not torch.equal(shuffled, permuted_columns(vectors, seed=5))
    null = [
        clusters(embedding(permuted_columns(vectors, seed=s), 5), 3) for s in range(5)
    ]
    truth = clusters(embedding(vectors, 5), 3)
    found = recovery({"found": truth, "null": null}, GROUPS)
    assert found.index("found").value == 1
    mean = sum(adjusted_rand_score(GROUPS, c) for c in null) / 5
    assert found.index("null").value == pytest.approx(mean, abs=1e-12)
    assert abs(mean) < 0.1
    assert found.difference("found", "null").low > 0.7
    assert found.difference("null", "found").high < -0.7


def test_intervals_cover_the_index_of_many_examples() -> None:
    # Clusters right with probability .8, else any of three: the index of very many
    # examples is the truth. Of 200 studies at .95, fewer than 180: 3e-3.
    def study(n: int, seed: int) -> tuple[Tensor, Tensor]:
        groups, wrong = partitions(n, 3, seed), partitions(n, 3, 10_000 + seed)
        kept = torch.rand(n, generator=torch.Generator().manual_seed(77 + seed)) < 0.8
        return torch.where(kept, groups, wrong), groups

    truth = adjusted_rand_score(*study(400_000, 9_999))
    inside = 0
    for seed in range(200):
        found, groups = study(60, seed)
        interval = recovery({"": found}, groups, seed=seed).index("")
        inside += interval.low <= truth <= interval.high
    assert 180 <= inside < 200


def test_a_part_of_the_examples_can_be_judged() -> None:
    found = torch.where(torch.arange(60) < 30, GROUPS, 0)
    part = torch.arange(30)
    judged = recovery({"": found}, GROUPS, examples=part).index("")
    assert (judged.value, judged.low, judged.high) == (1, 1, 1)
    assert recovery({"": found}, GROUPS).index("").value < 0.6


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda: recovery({}, GROUPS), "number of clusterings"),
        (lambda: recovery({"a": GROUPS[:5]}, GROUPS), r"\['a'\] must have one entry"),
        (lambda: recovery({"a": GROUPS}, GROUPS).index("b"), "name must be one of a"),
        (lambda: embedding(grouped(0.1), 0), "n_components must be at least 1"),
        (lambda: clusters(grouped(0.1), 61), "number of points must be at least 61"),
        (
            lambda: vectors_of(an_attribution(grouped(0.1)), "rows"),
            "axis must be one of train, targets",
        ),
    ],
)
def test_what_cannot_be_grouped(wrong: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        wrong()

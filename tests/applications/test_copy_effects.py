"""One of k copies: rules whose effects are known, enumeration, least squares."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from made_up import Additive
from samples import an_attribution, normal, table

from dmtheory.applications import copy_effects, loo_over_datamodel
from dmtheory.applications.copy_counts import CopyCounts
from dmtheory.data.copies import Copies, near_copies, plant_copies
from dmtheory.designs.base import Design
from dmtheory.problems import LeastSquares, SetFunction
from dmtheory.problems.set_functions import all_masks, and_of_examples, or_of_duplicates
from dmtheory.theory.exhaustive import weighted_banzhaf

COPIES = {0: (0, 1, 2, 3)}


@pytest.mark.parametrize("p", [0.5, 0.2])
def test_one_is_enough_or_all_are_needed(p: float) -> None:
    # OR: beta = (1-p)^(k-1), LOO = 0 from two copies on. AND of four, of which k are
    # there: nothing until all are; then beta = p^3 and LOO = 1.
    found = copy_effects(or_of_duplicates(6, 4), COPIES, p=p, n_subsets=5)
    beta = found.datamodel.scores[:, 0]
    torch.testing.assert_close(beta, (1 - p) ** torch.arange(4.0).double())
    assert found.leave_one_out.scores[:, 0].tolist() == [1, 0, 0, 0]
    found = copy_effects(and_of_examples(6, 4), COPIES, p=p, n_subsets=5)
    torch.testing.assert_close(
        found.datamodel.scores[:, 0], torch.tensor([0, 0, 0, p**3]).double()
    )
    assert found.leave_one_out.scores[:, 0].tolist() == [0, 0, 0, 1]
    assert found.datamodel.train_labels == (
        "one of 1",
        "one of 2",
        "one of 3",
        "one of 4",
    )


def test_it_is_the_coefficient_of_the_data_with_k_copies() -> None:
    # A function of the number of copies and of the other four examples; with k copies
    # the datamodel is enumerated. 4.5 standard errors, 3 numbers: 2e-5 a run.
    masks = all_masks(7)
    count = masks[:, :3].sum(1).long()
    rest = (masks[:, 3:] @ torch.tensor([1.0, 2, 4, 8]).double()).long()
    heights = normal(4, 16, seed=3)
    values = heights[count, rest][:, None]
    found = copy_effects(
        SetFunction(values=values), {0: (0, 1, 2)}, p=0.3, n_subsets=3000, seed=6
    )
    beta, error = found.datamodel.scores[:, 0], found.datamodel.stderr
    assert error is not None
    for k in (1, 2, 3):
        there = (masks[:, k:3].sum(1) == 0).nonzero().squeeze(1)
        truth = weighted_banzhaf(values[there], 0.3)[0, 0]
        assert (beta[k - 1] - truth).abs() < 4.5 * error[k - 1, 0]
        loo = heights[k, 15] - heights[k - 1, 15]
        assert found.leave_one_out.scores[k - 1, 0] == pytest.approx(loo.item())


def test_interpolation_leaves_nothing_to_leave_out() -> None:
    data = table(8, 30, n_targets=5, seed=2)
    planted = plant_copies(data, [Copies(target=t, k=3) for t in (1, 4)])
    problem = LeastSquares(data=planted.data)
    found = copy_effects(problem, planted.by_target, n_subsets=12)
    shares = loo_over_datamodel(found.leave_one_out, found.datamodel)
    assert found.leave_one_out.target_labels == ("question 1", "question 4")
    for share in shares.by_k[1:]:
        assert max(abs(share.low), abs(share.high)) < 1e-9
    assert shares.by_k[0].low > 0
    assert shares.fall.value == pytest.approx(shares.by_k[0].value)
    beta = found.datamodel.scores
    torch.testing.assert_close(beta[1:], beta[:-1] / 2)


def test_seeds_are_shared_within_each_side_and_by_neither_with_the_other() -> None:
    seen: list[Any] = []
    problem = Additive(gains=normal(9, 3, seed=4), noise=20.0, seen=seen)
    found = copy_effects(
        problem, {0: (0, 1), 2: (3, 4)}, n_subsets=6, n_seeds=4, seed=8
    )
    assert found.leave_one_out.seeds.isdisjoint(found.datamodel.seeds)
    assert found.leave_one_out.n_models == 4 * 2 * 3
    assert found.datamodel.n_models == 6 * 2 * 3
    assert len(seen) == 60
    assert len({seed for _, seed in seen}) == 10
    # The gains of the copies themselves, whatever the seeds do.
    gains = problem.gains
    truth = torch.stack([gains[[0, 1], 0], gains[[3, 4], 2]], 1)
    torch.testing.assert_close(found.leave_one_out.scores, truth)
    mean = truth.cumsum(0) / torch.tensor([[1.0], [2.0]]).double()
    torch.testing.assert_close(found.datamodel.scores, mean)


def test_noise_in_beta_does_not_shrink_the_share() -> None:
    # 60 targets, 200 units with nine times the signal's spread: the naive slope is
    # .71 of the truth. The error of the value is about .05.
    truth = normal(3, 60, seed=1)
    units = truth + 9.0 * normal(200, 3, 60, seed=2)
    beta = an_attribution(units.mean(0), units=units)
    share = torch.tensor([[0.6], [0.4], [0.1]]).double()
    loo = an_attribution(share * truth, stderr=torch.zeros(3, 60).double())
    found = loo_over_datamodel(loo, beta)
    for k, expected in enumerate((0.6, 0.4, 0.1)):
        assert found.by_k[k].low < expected < found.by_k[k].high
        assert found.by_k[k].value == pytest.approx(expected, rel=0.2)
    assert found.fall.low < 0.5 < found.fall.high
    assert found.fall.low > 0
    with pytest.raises(ValueError, match="same train_labels"):
        loo_over_datamodel(loo.restricted(train=["row 1"]), beta)


def test_the_design_keeps_its_word() -> None:
    design = CopyCounts(copies=((0, 2), (1, 4)), n_draws=15000, seed=3, p=0.4)
    assert isinstance(design, Design)
    rows = torch.arange(design.n_models)
    weights = design.weights(rows, 6)
    picked = torch.tensor([7, 2, 100])
    assert torch.equal(design.weights(picked, 6), weights[picked])
    first = weights[:6]
    assert first[:3, [0, 2]].tolist() == [[0, 0], [1, 0], [1, 1]]
    assert first[3:, [1, 4]].tolist() == [[0, 0], [1, 0], [1, 1]]
    assert bool((first[:3, [1, 4]] == first[0, [1, 4]]).all())
    found = torch.cov(weights.T, correction=0)
    assert torch.allclose(found, design.covariance(6), atol=0.008)
    assert len(design.seeds(rows[:12]).unique()) == 2
    whole = replace(design, p=None).weights(rows[:6], 6)
    assert bool((whole[:, [3, 5]] == 1).all()) and bool((whole[0, [1, 4]] == 1).all())


def test_natural_near_copies_are_those_within_the_distance() -> None:
    data = table(40, 3, seed=6)
    data = replace(data, x_target=data.x_target.clone())
    data.x_target[2] = data.x_train[17] + 1e-3
    distances = (data.x_target[:, None] - data.x_train).norm(dim=2)
    found = near_copies(data, within=0.01)
    assert found[2][0] == 17
    found = near_copies(data, within=0.5)
    limit = 0.5 * distances.median()
    for target in range(data.n_targets):
        near = (distances[target] <= limit).nonzero().squeeze(1).tolist()
        assert set(found.get(target, ())) == set(near)
        ranked = [distances[target, row].item() for row in found.get(target, ())]
        assert ranked == sorted(ranked)
    with pytest.raises(ValueError, match="within must be finite and > 0"):
        near_copies(data, within=0.0)


@pytest.mark.parametrize(
    ("copies", "more", "named"),
    [
        ({}, {}, "number of targets with copies"),
        ({0: (0, 1), 1: (2,)}, {}, "as many for each target, got"),
        ({9: (0, 1)}, {}, r"targets in \[0, 3\), got 9"),
        ({0: (0, 0)}, {}, "copies of 0 must be distinct"),
        ({0: (0,)}, {"n_subsets": 0}, "n_subsets must be at least 1"),
        ({0: (0,)}, {"p": 1.5}, "p must lie in"),
    ],
)
def test_what_cannot_be_measured(copies: Any, more: Any, named: str) -> None:
    problem = Additive(gains=normal(9, 3, seed=4))
    with pytest.raises(ValueError, match=named):
        copy_effects(problem, copies, **more)

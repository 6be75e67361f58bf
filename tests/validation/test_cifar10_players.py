"""Groups of images as players, and scores of images carried to them."""

from dataclasses import replace

import pytest
import torch

from dmtheory import FiniteDifference, influence, response_derivative
from dmtheory.data.tables import breast_cancer
from dmtheory.designs import ComplementaryPairs
from dmtheory.designs.groups import random_groups
from dmtheory.problems.logistic import LogisticRegression
from validation.cifar10.players import GroupPlayers, carried, in_groups
from validation.cifar10.subjects import groups_within_classes

N, GROUPS = 40, 7


@pytest.fixture(scope="module")
def players() -> GroupPlayers:
    problem = LogisticRegression(data=breast_cancer(n_train=N, n_targets=3), ridge=0.05)
    return GroupPlayers(problem=problem, groups=random_groups(N, GROUPS, seed=1))


def test_a_group_weighs_what_its_examples_do(players: GroupPlayers) -> None:
    design = ComplementaryPairs(n_pairs=3, seed=4)
    rows = torch.arange(6)
    weights, seeds = design.weights(rows, GROUPS), design.seeds(rows)
    expanded = torch.stack([weights[:, group] for group in players.groups], dim=1)
    wanted = players.problem.respond(expanded, seeds)
    assert torch.equal(players.respond(weights, seeds), wanted)
    outputs, quality = players.measure(weights, seeds)
    assert torch.equal(outputs, wanted)
    assert len(quality.loss) == 6
    assert players.description.train_labels == tuple(f"group {g}" for g in range(7))


def test_another_partition_is_another_problem(players: GroupPlayers) -> None:
    other = GroupPlayers(
        problem=players.problem, groups=random_groups(N, GROUPS, seed=2)
    )
    digests = {p.description.digest for p in (players, other, players.problem)}
    assert len(digests) == 3


def test_scores_of_a_group_are_its_derivative(players: GroupPlayers) -> None:
    """Converged logistic regression: influence is dF/dw, so a group's sum is too.

    Differences move the groups' weights and know no example.
    """
    of_images = influence(players.problem, at=0.5)
    summed = in_groups(of_images, players)
    slope = response_derivative(players, FiniteDifference(step=1e-3), at=0.5)
    assert summed.train_labels == slope.train_labels
    assert summed.estimand.problem == slope.estimand.problem
    assert summed.n_train == GROUPS
    scale = slope.scores.abs().max()
    assert (summed.scores - slope.scores).abs().max() < 1e-5 * scale
    # Stated per epsilon of the N examples it is the same number of groups.
    again = in_groups(of_images.in_unit("per_epsilon"), players)
    assert torch.allclose(again.scores, summed.scores, rtol=1e-12)


def test_units_are_summed_with_the_scores(players: GroupPlayers) -> None:
    base = influence(players.problem, at=1.0)
    units = torch.stack([base.scores, 3 * base.scores])
    found = in_groups(
        replace(base, scores=units.mean(0), units=units, stderr=None), players
    )
    assert found.units is not None and found.stderr is not None
    assert torch.allclose(found.units.mean(0), found.scores)
    gap = (found.units[1] - found.units[0]).abs()
    # Of two units the standard error is half their difference.
    assert torch.allclose(found.stderr, gap / 2)


def test_carried_scores_say_where_they_are_from(players: GroupPlayers) -> None:
    base = influence(players.problem, at=1.0)
    moved = carried(base, players)
    assert moved.estimand.problem == players.description.digest
    assert "of the weighted recipe" in moved.method
    assert torch.equal(moved.scores, base.scores)


@pytest.mark.parametrize(("n_groups", "parts"), [(4, 1), (12, 4), (64, 21)])
def test_groups_within_classes(n_groups: int, parts: int) -> None:
    classes = torch.tensor([5] * 50 + [0] * 31 + [7] * 40)[torch.arange(121) * 50 % 121]
    groups = torch.tensor(groups_within_classes(classes, n_groups))
    assert sorted(set(groups.tolist())) == list(range(3 * parts))
    for group in range(3 * parts):
        members = classes[groups == group]
        assert len(members.unique()) == 1
        same = (classes == members[0]).sum().item()
        assert len(members) in {same // parts, -(-same // parts)}

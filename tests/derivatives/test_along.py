"""Groups and whole directions: against differences, and sums of single examples."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from richardson import worst_gap
from samples import normal, table, unchecked
from torch import Tensor

from dmtheory import (
    AveragedDerivative,
    Directions,
    FiniteDifference,
    ForwardMode,
    Groups,
    Implicit,
    Pathwise,
    RandomDirections,
    ReverseMode,
    collect,
    fit_datamodel,
    response_derivative,
)
from dmtheory.derivatives.along import Along
from dmtheory.derivatives.averages.subset_average import OwnWeight, Trapezoid
from dmtheory.designs import Bernoulli, ComplementaryPairs, Grouped
from dmtheory.problems import LeastSquares, LogisticRegression, Network
from dmtheory.problems.set_functions import all_masks
from dmtheory.theory.exhaustive import population_regression
from dmtheory.training import MLP, SGD

N = 12
GROUPS = (0, 2, 1, 0, 0, 2, 1, 1, 0, 3, 3, 2)
WEIGHTS = 0.4 + torch.rand(N, generator=torch.Generator().manual_seed(5)).double()
VECTORS = normal(3, N, seed=6)
LINES: dict[str, tuple[Along, Tensor]] = {
    "groups": (Groups(groups=GROUPS), torch.eye(4)[:, list(GROUPS)].double()),
    "chosen groups, with labels": (
        Groups(groups=GROUPS, labels=("a", "b", "c", "d"), chosen=(3, 1)),
        torch.eye(4)[:, list(GROUPS)].double()[[3, 1]],
    ),
    "directions": (
        Directions(vectors=tuple(tuple(v.tolist()) for v in VECTORS)),
        VECTORS,
    ),
}
each_line = pytest.mark.parametrize("line", LINES)


def network(**changes: Any) -> Network:
    return Network(
        make_module=MLP((4, 5, 3)),
        data=table(N, 4, classes=3, n_targets=3, seed=0),
        training=SGD(epochs=4, batch_size=5, learning_rate=0.2, momentum=0.8),
        **changes,
    )


def convex(normalisation: Any = "sum") -> LogisticRegression:
    data = table(N, 3, classes=2, seed=1)
    return LogisticRegression(
        data=data, ridge=0.05, normalisation=normalisation, tolerance=1e-12
    )


CASES: list[Any] = [
    (network(), lambda along: Pathwise(n_seeds=2, along=along)),
    (
        network(normalisation="count"),
        lambda along: Pathwise(n_seeds=2, mode=ForwardMode(), along=along),
    ),
    (
        network(),
        lambda along: Pathwise(n_seeds=2, mode=ReverseMode(), along=along),
    ),
    (convex("sum"), lambda along: Implicit(along=along)),
    (convex("count"), lambda along: Implicit(along=along)),
]
each_case = pytest.mark.parametrize(("problem", "method"), CASES)


def extrapolated(problem: Any, along: Along) -> Any:
    """Return central differences of two steps, without their h^2 and h^4 terms."""
    found = [
        response_derivative(
            problem, FiniteDifference(step=h, n_seeds=2, along=along), at=WEIGHTS
        )
        for h in (0.04, 0.02, 0.01)
    ]
    first = [(4 * b.scores - a.scores) / 3 for a, b in pairwise(found)]
    return found[0], (16 * first[1] - first[0]) / 15


@each_case
@each_line
def test_rows_are_those_of_finite_differences(
    problem: Any, method: Any, line: str
) -> None:
    along, vectors = LINES[line]
    differences, truth = extrapolated(problem, along)
    found = response_derivative(problem, method(along), at=WEIGHTS)
    assert worst_gap(found.scores, truth) < 1e-6
    assert found.train_labels == differences.train_labels
    assert found.n_train == differences.n_train
    assert found.estimand == differences.estimand
    # And sums of single derivatives, each with its entry.
    single = response_derivative(problem, method(FiniteDifference().along), at=WEIGHTS)
    torch.testing.assert_close(
        found.scores, vectors @ single.scores, rtol=1e-12, atol=1e-14
    )
    if single.units is not None:
        assert found.units is not None
        torch.testing.assert_close(
            found.units, vectors @ single.units, rtol=1e-12, atol=1e-14
        )


@each_line
def test_coordinates_and_lines_exclude_each_other(line: str) -> None:
    for problem, method in (CASES[0], CASES[3]):
        with pytest.raises(ValueError, match="coordinates must be left out here"):
            response_derivative(problem, method(LINES[line][0]), coordinates=[1])


@pytest.mark.parametrize("p", [0.5, 0.3])
@pytest.mark.parametrize("rule", [Trapezoid(), OwnWeight()])
def test_groups_are_players_of_an_average_over_subsets(rule: Any, p: float) -> None:
    # Truth by all 16 subsets of groups: the datamodel of groups, or its trapezoid.
    # Largest of 16 standardised gaps: 5 is 1e-5 for normal means of 3,000 units.
    data = table(N, 3, seed=2)
    problem = LeastSquares(data=data, ridge=0.3, normalisation="count")
    masks = all_masks(4)
    spread = masks[:, list(GROUPS)]
    if isinstance(rule, OwnWeight):
        outputs = problem.respond(spread, torch.zeros(16, dtype=torch.int64))
        _, truth = population_regression(outputs, p)
    else:
        sums = LINES["groups"][1]
        slopes = Implicit().at_models(problem, spread, torch.zeros(16).long())
        law = (p**masks * (1 - p) ** (1 - masks)).prod(1)
        ends = law[:, None] * (masks / p + (1 - masks) / (1 - p)) / 2
        truth = torch.einsum("mg,mgt->gt", ends, sums @ slopes)
    method = AveragedDerivative(
        by=Implicit(), rule=rule, n_units=3000, along=Groups(groups=GROUPS)
    )
    found = response_derivative(problem, method, at=Bernoulli(p=p), seed=1)
    assert found.stderr is not None
    assert ((found.scores - truth) / found.stderr).abs().max() < 5
    assert found.stderr.max() < 0.05 * truth.abs().max()
    assert found.train_labels == tuple(f"group {g}" for g in range(4))
    assert (found.n_train, found.estimand.point.kind) == (4, "average")
    if isinstance(rule, Trapezoid):
        plain = Implicit(n_subsets=3000, along=Groups(groups=GROUPS))
        same = response_derivative(problem, plain, at=Bernoulli(p=p), seed=1)
        assert torch.equal(same.scores, found.scores)


def test_pathwise_groups_over_subsets_are_those_of_the_groups_datamodel() -> None:
    # Its reading of groups as players, against a regression on subsets of groups.
    problem = network(normalisation="count")
    law = Bernoulli(p=0.5, n_models=600, seed=3)
    datamodel = fit_datamodel(collect(problem, Grouped(design=law, groups=GROUPS)))
    method = Pathwise(n_seeds=200, along=Groups(groups=GROUPS))
    found = response_derivative(problem, method, at=law, seed=4)
    assert found.train_labels == datamodel.train_labels
    slope = (found.scores * datamodel.scores).sum() / found.scores.square().sum()
    assert 0.9 < slope < 1.1


def test_an_average_over_subsets_has_no_direction() -> None:
    along = LINES["directions"][0]
    for method in (
        Pathwise(along=along),
        AveragedDerivative(by=Pathwise(), rule=OwnWeight(), along=along),
    ):
        with pytest.raises(ValueError, match=r"along must be Examples\(\) or Groups"):
            response_derivative(network(), method, at=Bernoulli(p=0.5))


def test_where_every_unit_starts_from_nobody_its_rise_is_all_there_is() -> None:
    # One group of all examples: under sum F jumps from the empty set in every unit.
    problem = LeastSquares(data=table(N, 3, seed=2), ridge=0.3)
    method = AveragedDerivative(
        by=Implicit(), rule=OwnWeight(), n_units=3, along=Groups(groups=(0,) * N)
    )
    found = response_derivative(problem, method, at=Bernoulli(p=0.5))
    ends = torch.stack([torch.ones(N), torch.zeros(N)]).double()
    full, empty = problem.respond(ends, torch.zeros(2, dtype=torch.int64))
    torch.testing.assert_close(found.scores[0], full - empty)


@pytest.mark.parametrize("chosen", [None, (2, 0)])
def test_random_directions_move_groups_as_one(chosen: tuple[int, ...] | None) -> None:
    # Around unequal weights; truth by the implicit derivative.
    problem = convex("count")
    along = Groups(groups=GROUPS, chosen=chosen)
    truth = response_derivative(problem, Implicit(along=along), at=WEIGHTS)
    method = RandomDirections(step=1e-3, n_pairs=30, along=along)
    found = response_derivative(problem, method, at=WEIGHTS, seed=2)
    assert worst_gap(found.scores, truth.scores) < 1e-5
    assert found.train_labels == truth.train_labels
    assert (found.n_train, found.n_models) == (4, 60)
    assert found.estimand == truth.estimand
    # Twice as many pairs as groups, where none are stated.
    few = RandomDirections(step=1e-3, along=along)
    assert response_derivative(problem, few, at=WEIGHTS).n_models == 16
    if chosen is None:
        assert found.intercept is not None
        outputs = problem.respond(WEIGHTS[None], torch.zeros(1, dtype=torch.int64))
        members = LINES["groups"][1]
        level = found.intercept + (members @ WEIGHTS / members.sum(1)) @ found.scores
        torch.testing.assert_close(level, outputs[0], rtol=0, atol=1e-5)


def test_half_steps_around_one_half_are_the_datamodel_of_groups() -> None:
    # Rademacher directions of groups are complementary pairs of them, bit for bit.
    problem = convex("count")
    method = RandomDirections(step=0.5, n_pairs=20, along=Groups(groups=GROUPS))
    found = response_derivative(problem, method, at=0.5, seed=7)
    design = method.design(torch.full((N,), 0.5).double(), 7)
    rows = torch.arange(40)
    weights = design.weights(rows, N)
    expected = fit_datamodel(
        weights[:, [0, 2, 1, 9]],
        problem.respond(weights, design.seeds(rows)),
        design=ComplementaryPairs(n_pairs=20),
    )
    assert set(weights.unique().tolist()) == {0.0, 1.0}
    for name in ("scores", "stderr", "units", "intercept"):
        one, other = getattr(found, name), getattr(expected, name)
        assert torch.equal(one, other), name
    seen = (weights - 0.5).T @ (weights - 0.5) / 40
    assert torch.equal((seen > 0.2), design.covariance(N) > 0.2)


@pytest.mark.parametrize("mode", [ForwardMode(), ReverseMode()])
def test_along_the_weights_themselves_scale_free_training_stands_still(
    mode: Any,
) -> None:
    # Zero is an answer, and no sign of an output that jumps.
    line = Directions(vectors=((1.0,) * N,))
    method = Pathwise(n_seeds=2, mode=mode, along=line)
    found = response_derivative(network(), method)
    single = response_derivative(network(), Pathwise(n_seeds=2, mode=mode))
    assert found.scores.abs().max() < 1e-13 * single.scores.abs().sum()
    counted = response_derivative(network(normalisation="count"), method)
    assert counted.scores.abs().min() > 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: RandomDirections(along=LINES["directions"][0]),  # type: ignore[arg-type]
            r"along must be Examples\(\) or Groups\(\) for random directions, got Dir",
        ),
        (
            lambda: RandomDirections(along=Groups(groups=(0, 1))),
            "groups must have one entry an example",
        ),
        (
            lambda: RandomDirections(along=Groups(groups=GROUPS), n_pairs=3),
            "pairs",
        ),
        (
            lambda: Pathwise(along=Groups(groups=GROUPS, labels=("a", "b", "a", "d"))),
            "labels must be distinct, got 'a' twice",
        ),
        (
            lambda: Pathwise(
                along=Directions(vectors=((1.0,) * N, (2.0,) * N), labels=("a", "a"))
            ),
            "labels must be distinct, got 'a' twice",
        ),
    ],
)
def test_lines_that_do_not_fit_are_refused(make: Any, message: str) -> None:
    with unchecked(), pytest.raises(ValueError, match=message):
        response_derivative(network(), make())

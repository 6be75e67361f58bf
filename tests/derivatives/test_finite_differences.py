"""Rules, boundaries, groups and directions against closed forms and enumeration."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from samples import a_description, normal, table
from torch import Tensor

from dmtheory import FiniteDifference, Point, response_derivative
from dmtheory.derivatives.along import Directions, Examples, Groups
from dmtheory.derivatives.differences.finite_difference import finite_differences
from dmtheory.derivatives.differences.ladder import Ladder
from dmtheory.derivatives.differences.stencils import (
    Central,
    DifferenceRule,
    Forward,
    Richardson,
)
from dmtheory.designs import Bernoulli
from dmtheory.problems import BlackBox, LeastSquares

N_TRAIN = 8
PROBLEM = LeastSquares(data=table(N_TRAIN, 3, seed=0), ridge=0.2, normalisation="count")
# Weights of their own, two of them 0.
POINT = (0.5, 0.0, 1.5, 0.8, 0.0, 1.0, 0.7, 1.2)
HERE = torch.tensor(POINT, dtype=torch.float64)


def exact_derivative(at: Tensor) -> Tensor:
    """Differentiate the closed form of least squares, written out here."""
    x, y = PROBLEM.data.x_train, PROBLEM.data.y_train

    def outputs(w: Tensor) -> Tensor:
        penalty = PROBLEM.ridge * torch.eye(x.shape[1]).double()
        curvature = x.T @ (w[:, None] * x) / len(y) + penalty
        moment = x.T @ (w * y) / len(y)
        return PROBLEM.data.x_target @ torch.linalg.solve(curvature, moment)

    return torch.func.jacrev(outputs)(at).T


def a_problem(
    respond: Callable[[Tensor, Tensor], Tensor], n_train: int, **changes: Any
) -> BlackBox:
    return BlackBox(
        description=a_description(n_train, 1, normalisation="count", **changes),
        train_and_measure=respond,
    )


ONES = torch.ones(N_TRAIN, dtype=torch.float64)
INSIDE, ON_BOUNDARY = (0, 2, 3, 5, 6, 7), (1, 4)


@pytest.mark.parametrize(
    ("rule", "coordinates", "order"),
    [
        (Central(), INSIDE, 2),
        (Central(), ON_BOUNDARY, 2),
        (Forward(), INSIDE, 1),
        (Forward(), ON_BOUNDARY, 1),
        (Richardson(), INSIDE, 4),
        (Richardson(), ON_BOUNDARY, 3),
    ],
)
def test_the_bias_falls_by_the_rules_order(
    rule: DifferenceRule, coordinates: tuple[int, ...], order: int
) -> None:
    truth = exact_derivative(HERE)[list(coordinates)]
    errors = []
    for step in (0.08, 0.04, 0.02):
        method = FiniteDifference(step=step, rule=rule)
        found = response_derivative(PROBLEM, method, at=POINT, coordinates=coordinates)
        errors.append((found.scores - truth).norm().item())
    assert errors[2] < 0.03 * truth.norm()
    for before, after in itertools.pairwise(errors):
        assert math.log2(before / after) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize(
    ("rule", "inside", "boundary"),
    [
        (Central(), lambda w, h: 3 * w**2 + h**2, lambda h: -2 * h**2),
        (Forward(), lambda w, h: 3 * w**2 + 3 * w * h + h**2, lambda h: h**2),
        (Richardson(), lambda w, h: 3 * w**2, lambda h: 0.0),
    ],
)
def test_a_cubic_shows_each_rules_bias_to_rounding(
    rule: DifferenceRule,
    inside: Callable[[float, float], float],
    boundary: Callable[[float], float],
) -> None:
    # F = sum_i (i + 1) w_i^3: F''' = 6(i + 1), so (h^2/6) F''' inside and
    # -(h^2/3) F''' on the boundary.
    scale = torch.arange(1, 4).double()
    problem = a_problem(lambda w, _: (w**3 @ scale)[:, None], 3, deterministic=True)
    at, step = (0.7, 0.0, 1.3), 0.2
    found = response_derivative(problem, FiniteDifference(step=step, rule=rule), at=at)
    expected = scale * torch.tensor(
        [boundary(step) if w == 0 else inside(w, step) for w in at],
        dtype=torch.float64,
    )
    torch.testing.assert_close(found.scores[:, 0], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("rule", [Central(), Forward(), Richardson()])
def test_stencils_are_exact_to_the_order_they_state_and_no_further(
    rule: DifferenceRule,
) -> None:
    for stencil in (rule.interior, rule.boundary, rule.boundary.mirrored):
        moments = [
            sum(
                c * o**power
                for c, o in zip(stencil.coefficients, stencil.offsets, strict=True)
            )
            for power in range(stencil.order + 2)
        ]
        exact = [0.0, 1.0] + [0.0] * (stencil.order - 1)
        assert moments[:-1] == pytest.approx(exact, abs=1e-14)
        assert abs(moments[-1]) > 0.1


def test_a_weight_vector_is_a_point_of_its_own_and_the_boundary_is_said() -> None:
    found = response_derivative(
        PROBLEM, FiniteDifference(step=1e-3), at=POINT, coordinates=[4, 0, 1]
    )
    truth = exact_derivative(HERE)[[4, 0, 1]]
    torch.testing.assert_close(found.scores, truth, rtol=0, atol=1e-5)
    assert found.estimand.point == Point.of(HERE)
    assert found.estimand.point.kind == "vector"
    assert found.method == (
        "central differences, step 0.001, 1 unit(s), one-sided in 2 row(s) at a weight "
        "of 0"
    )
    # Two sides of one coordinate; w itself once, and two steps up for each of two.
    assert found.n_models == 2 + 1 + 2 * 2
    # A vector of equal weights is the point that their common weight names.
    equal = response_derivative(PROBLEM, at=0.5 * ONES)
    assert equal.estimand.point == Point("weights", 0.5)
    assert torch.equal(equal.scores, response_derivative(PROBLEM, at=0.5).scores)


@pytest.mark.parametrize(
    ("method", "n_models"),
    [
        (FiniteDifference(), 2 * N_TRAIN),
        (FiniteDifference(rule=Forward()), N_TRAIN + 1),
        (FiniteDifference(rule=Richardson()), 4 * N_TRAIN),
        (FiniteDifference(step=Ladder((0.1, 0.2, 0.4))), 6 * N_TRAIN),
        # h/2 of one rung is h of the next.
        (FiniteDifference(step=Ladder((0.1, 0.2)), rule=Richardson()), 6 * N_TRAIN),
    ],
)
def test_no_weight_vector_is_trained_twice(
    method: FiniteDifference, n_models: int
) -> None:
    seen: list[Tensor] = []

    def respond(weights: Tensor, seeds: Tensor) -> Tensor:
        seen.append(weights)
        return weights.sum(1, keepdim=True)

    problem = a_problem(respond, N_TRAIN, deterministic=True)
    found = response_derivative(problem, method)
    rows = torch.cat(seen)
    assert found.n_models == len(rows) == len(rows.unique(dim=0)) == n_models


GROUPS = (0, 1, 1, 2, 1, 0, 2, 2)


def test_a_groups_derivative_is_the_sum_over_it() -> None:
    groups = Groups(groups=GROUPS, labels=("a", "b", "c"), chosen=(2, 0))
    found = response_derivative(
        PROBLEM, FiniteDifference(step=1e-3, along=groups), at=0.6
    )
    each = exact_derivative(0.6 * ONES)
    expected = torch.stack([
        sum(each[i] for i in range(N_TRAIN) if GROUPS[i] == g) for g in (2, 0)
    ])
    torch.testing.assert_close(found.scores, expected, rtol=0, atol=1e-5)
    assert found.train_labels == ("c", "a")
    assert found.n_train == 3
    assert found.n_models == 4
    # Group 1 holds two weights of 0, so that it cannot fall.
    edge = FiniteDifference(step=1e-3, along=Groups(groups=GROUPS, chosen=(1,)))
    found = response_derivative(PROBLEM, edge, at=POINT)
    truth = exact_derivative(HERE)[[1, 2, 4]].sum(0)
    torch.testing.assert_close(found.scores[0], truth, rtol=0, atol=1e-5)
    assert "one-sided in 1 row(s)" in found.method
    assert found.train_labels == ("group 1",)


def test_groups_averaged_over_subsets_have_the_datamodel_coefficients() -> None:
    # The bridge with groups as players, by enumeration of all 2^3 unions of groups.
    # 3 x 4 scores within 5 standard errors of 300 units, 1e-5; errors are told too
    # large or too small by their mean square as in the test of single examples.
    p = 0.4
    rows = list(itertools.product((0.0, 1.0), repeat=3))
    weights = torch.tensor(rows, dtype=torch.float64)[:, list(GROUPS)]
    outputs = PROBLEM.respond(weights, torch.zeros(8, dtype=torch.int64))
    truth = torch.zeros(3, 4, dtype=torch.float64)
    for row, output in zip(rows, outputs, strict=True):
        for g in range(3):
            others = math.prod(p if row[k] else 1 - p for k in range(3) if k != g)
            truth[g] += others * output * (1 if row[g] else -1)
    method = FiniteDifference(step=0.01, n_seeds=300, along=Groups(groups=GROUPS))
    found = response_derivative(PROBLEM, method, at=Bernoulli(p=p), seed=5)
    assert found.stderr is not None
    z = (found.scores - truth) / found.stderr
    assert z.abs().max() < 5
    assert 0.05 < z.square().mean() < 4
    assert found.stderr.norm() < 0.1 * truth.norm()
    assert found.train_labels == ("group 0", "group 1", "group 2")


def test_a_direction_gives_the_products_sum() -> None:
    vectors = normal(3, N_TRAIN, seed=3)
    # Up at weights of 0, so that the line leaves w >= 0 backwards, and forwards.
    vectors[1, [1, 4]] = vectors[1, [1, 4]].abs()
    vectors[2, [1, 4]] = -vectors[2, [1, 4]].abs()
    vectors[0, [1, 4]] = 0.0
    along = Directions(vectors=tuple(tuple(v) for v in vectors.tolist()))
    found = response_derivative(
        PROBLEM, FiniteDifference(step=1e-3, along=along), at=POINT
    )
    truth = vectors @ exact_derivative(HERE)
    torch.testing.assert_close(found.scores, truth, rtol=0, atol=3e-5)
    assert found.train_labels == ("direction 0", "direction 1", "direction 2")
    assert found.n_train == N_TRAIN
    assert found.n_models == 2 + 1 + 2 * 2
    assert "one-sided in 2 row(s)" in found.method


def with_noise(weights: Tensor, seeds: Tensor) -> Tensor:
    """Return sum_i w_i u_i + u_5, u the seed's own digits, uniform on [0, 1)."""
    digits = torch.stack([(seeds >> (10 * i)) & 1023 for i in range(6)], dim=1) / 1024
    return ((weights * digits[:, :5].double()).sum(1) + digits[:, 5])[:, None]


@pytest.mark.parametrize(
    ("rule", "sides"),
    [
        (Central(), {1 + 0.2: 0.5, 1 - 0.2: 0.5}),
        (Forward(), {1 + 0.2: 1.0, 1.0: 1.0}),
    ],
)
def test_the_ratio_to_independent_seeds_is_that_of_the_variances(
    rule: DifferenceRule, sides: dict[float, float]
) -> None:
    # Var u = 1/12 (a millionth less); Var F(w + o e_i) = (4 + (1 + o)^2 + 1)/12.
    # The ratio of two variances from 800 seeds is within 5 standard errors, at most
    # 5 sqrt(4/800) = .35 of it (uniforms vary less than normals).
    problem = a_problem(with_noise, 5)
    method = FiniteDifference(step=0.2, n_seeds=800, rule=rule)
    found = finite_differences(problem, method)
    apart = sum(c**2 * (4 + w**2 + 1) for w, c in sides.items()) / 0.2**2
    assert found.variance_ratio is not None
    expected = torch.full((5, 1), 1 / apart, dtype=torch.float64)
    torch.testing.assert_close(found.variance_ratio, expected, rtol=0.35, atol=0)
    median = found.variance_ratio.median().item()
    assert found.attribution.method.endswith(
        f"variance {median:.2g} of that of independent seeds"
    )
    again = response_derivative(problem, method)
    assert torch.equal(again.scores, found.attribution.scores)


def scramble(weights: Tensor, seeds: Tensor) -> Tensor:
    """Return noise that another weight changes wholly: uniform on [0, 1)."""
    bits = (weights * 1e6).round().long()
    mixed = seeds.clone()
    for column in bits.T:
        mixed = (mixed ^ column) * 6364136223846793005 + 1442695040888963407
        mixed = mixed ^ (mixed >> 29)
    return ((mixed >> 20) & (2**30 - 1)).double()[:, None] / 2**30


def test_common_seeds_save_nothing_where_every_weight_changes_all() -> None:
    # The ratio of variances is 1; 4 entries from 800 seeds, 5 standard errors as above.
    found = finite_differences(
        a_problem(scramble, 4), FiniteDifference(step=0.1, n_seeds=800)
    )
    assert found.variance_ratio is not None
    assert (found.variance_ratio - 1).abs().max() < 0.35


def test_no_ratio_is_made_up_where_seeds_do_nothing_or_subsets_vary() -> None:
    assert finite_differences(PROBLEM).variance_ratio is None
    method = FiniteDifference(step=0.05, n_seeds=3)
    assert finite_differences(PROBLEM, method, at=Bernoulli(p=0.5)).choice is None
    found = finite_differences(PROBLEM, method, at=Bernoulli(p=0.5))
    assert found.variance_ratio is None
    assert "independent" not in found.attribution.method


def test_a_jumping_output_is_warned_of() -> None:
    def hit(weights: Tensor, seeds: Tensor) -> Tensor:
        return (weights[:, :1] > 0.9).double()

    problem = a_problem(hit, 2, output="accuracy")
    with pytest.warns(UserWarning, match="'accuracy' jumps between 0 and 1"):
        response_derivative(problem, FiniteDifference(step=0.2, n_seeds=2))
    # Any other warning is an error here.
    response_derivative(a_problem(hit, 2), FiniteDifference(step=0.2, n_seeds=2))


AT_EDGE: dict[str, Any] = {"at": POINT}
PARTITION = Groups(groups=GROUPS)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ({}, {"at": [1.0] * 7}, r"one weight an example \(8\), got shape \(7,\)"),
        ({}, {"at": ONES[None]}, r"one weight an example \(8\), got shape \(1, 8\)"),
        ({}, {"at": [-1.0] + [1.0] * 7}, "at must hold weights >= 0, got -1"),
        ({}, {"at": [math.nan] + [1.0] * 7}, "at must be finite, got nan at"),
        ({}, {"at": [0.0] * 8}, "at must have a weight > 0, got zeros alone"),
        ({"step": 0.6}, AT_EDGE, "largest move is 0.6 where the weight is 0.5"),
        ({"step": 0.6, "rule": Richardson()}, AT_EDGE, "where the weight is 0.5"),
        (
            {"along": Directions(vectors=((0.0, 1.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0),))},
            AT_EDGE,
            "vectors must leave weights >= 0 one way or the other",
        ),
        (
            {"along": Directions(vectors=((1.0,) * 7,))},
            {},
            r"vectors must have one entry an example \(8\), got 7",
        ),
        (
            {"along": Directions(vectors=((0.0,) * 8,))},
            {},
            "vectors must be finite and not all 0",
        ),
        (
            {"along": Directions(vectors=((math.inf,) * 8,))},
            {},
            "vectors must be finite and not all 0",
        ),
        ({"along": Directions(vectors=())}, {}, "vectors must be 1 to 8 .* got 0"),
        (
            {"along": Directions(vectors=((1.0,) * 8,) * 9)},
            {},
            "vectors must be 1 to 8 directions, got 9: .* several calls",
        ),
        (
            {"along": Directions(vectors=((1.0,) * 8,), labels=("a", "b"))},
            {},
            r"labels must have one entry a direction \(1\), got 2",
        ),
        (
            {"along": PARTITION},
            {"coordinates": [0]},
            "coordinates must be left out here, got 1 of 8: choose groups by `chosen`",
        ),
        (
            {"along": Groups(groups=(0, 1))},
            {},
            r"groups must have one entry an example \(8\), got 2",
        ),
        (
            {"along": Groups(groups=(0, 2) * 4)},
            {},
            "groups must number every example",
        ),
        (
            {"along": Groups(groups=GROUPS, labels=("a",))},
            {},
            r"labels must have one entry a group \(3\), got 1",
        ),
        (
            {"along": Groups(groups=GROUPS, chosen=(3,))},
            {},
            r"chosen must lie in \[0, 3\), got 3",
        ),
        (
            {"along": Groups(groups=GROUPS, chosen=())},
            {},
            "number of chosen must be at least 1, got 0",
        ),
        (
            {"rule": Forward()},
            {"at": Bernoulli(p=0.5)},
            r"rule must be Central\(\) for an average over subsets, got Forward\(\)",
        ),
        (
            {"along": Directions(vectors=((1.0,) * 8,))},
            {"at": Bernoulli(p=0.5)},
            r"along must be Examples\(\) or Groups\(\) for an average over subsets",
        ),
        (
            {"step": Ladder((0.1, 0.05)), "n_seeds": 1},
            {"at": Bernoulli(p=0.5)},
            "n_seeds must be at least 2 for a ladder of steps, got 1",
        ),
    ],
)
def test_what_cannot_be_differentiated_is_refused(
    method: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    method = {"along": Examples(), **method}
    with pytest.raises(ValueError, match=message):
        response_derivative(PROBLEM, FiniteDifference(**method), **arguments)

"""Curves along a weight, and higher derivatives, against closed forms."""

import math
from typing import Any

import pytest
import torch
from samples import a_description, an_attribution, normal, table
from torch import Tensor

from dmtheory import FiniteDifference, Groups, leave_one_out, response_derivative
from dmtheory.derivatives.curve import response_curve
from dmtheory.derivatives.diagonal import diagonal_derivatives
from dmtheory.designs import Bernoulli
from dmtheory.designs.seeds import Purpose, uniforms
from dmtheory.problems import BlackBox, LeastSquares, SampleMean
from dmtheory.theory.expansions import second_order_terms

N_TRAIN = 5


def noisy_cubes(weights: Tensor, seeds: Tensor) -> Tensor:
    """Return sum_i (i + 1 + u_i) w_i^3 + 100 u_5 and its double, u the seed's own."""
    own = uniforms(4, Purpose.DATA, seeds, torch.arange(N_TRAIN + 1))
    scale = torch.arange(1, N_TRAIN + 1) + own[:, :N_TRAIN]
    outputs = (weights**3 * scale).sum(1) + 100 * own[:, N_TRAIN]
    return torch.stack([outputs, 2 * outputs], dim=1)


PROBLEM = BlackBox(
    description=a_description(N_TRAIN, 2, normalisation="count"),
    train_and_measure=noisy_cubes,
)


def test_a_curve_of_the_sample_mean_is_its_closed_form() -> None:
    y = normal(N_TRAIN, seed=1)
    found = response_curve(SampleMean(values=y), 2, step=1e-3)
    t = torch.tensor(found.multiples, dtype=torch.float64)
    rest = y.sum() - y[2]
    expected = (rest + t * y[2]) / (N_TRAIN - 1 + t)
    torch.testing.assert_close(found.response.value[:, 0], expected)
    torch.testing.assert_close(found.change.value[:, 0], expected - y.mean())
    gap = y[2] - y.mean()
    torch.testing.assert_close(found.secant.value, (gap / (N_TRAIN - 1))[None])
    torch.testing.assert_close(
        found.tangent.value, (gap / N_TRAIN)[None], rtol=1e-6, atol=0
    )
    bend = -2 * gap / N_TRAIN**2
    torch.testing.assert_close(found.curvature.value, bend[None], rtol=1e-4, atol=0)
    for estimate in (found.response, found.change, found.secant, found.tangent):
        assert estimate.stderr is not None
        assert not estimate.stderr.any()
    assert found.label == "value 2"
    assert (found.n_seeds, found.n_models) == (1, 9 + 2)
    assert found.datamodel is None
    assert (found.point.kind, found.point.level) == ("weights", 1.0)


def test_secant_and_tangent_are_leave_one_out_and_the_derivative_bit_for_bit() -> None:
    found = response_curve(PROBLEM, 3, step=0.1, n_seeds=30, seed=6)
    secant = leave_one_out(PROBLEM, coordinates=[3], n_seeds=30, seed=6)
    method = FiniteDifference(step=0.1, n_seeds=30)
    tangent = response_derivative(PROBLEM, method, coordinates=[3], seed=6)
    for one, other in ((found.secant, secant), (found.tangent, tangent)):
        assert other.stderr is not None
        assert one.stderr is not None
        assert torch.equal(one.value, other.scores[0])
        assert torch.equal(one.stderr, other.stderr[0])
    # (F(1.1) - 2 F(1) + F(.9))/.01 = 6 (4 + u), of cubes; u uniform on [0, 1).
    assert found.curvature.stderr is not None
    gap = found.curvature.value[0] - 27
    assert gap.abs() < 5 * found.curvature.stderr[0]
    expected = 6 / math.sqrt(12 * 30)
    assert found.curvature.stderr[0].item() == pytest.approx(expected, rel=0.4)


def test_common_seeds_make_changes_sharper_than_levels() -> None:
    found = response_curve(PROBLEM, 0, multiples=(0.0, 1.0, 1.5), n_seeds=40)
    assert found.response.stderr is not None
    assert found.change.stderr is not None
    # The level varies by 100/sqrt(12 · 40), the change by (1.5^3 - 1)/sqrt(12 · 40).
    assert (found.response.stderr[:, 0] > 3).all()
    assert (found.change.stderr[:, 0] < 0.2).all()
    assert not found.change.value[1].any()
    assert not found.change.stderr[1].any()
    torch.testing.assert_close(
        found.change.value,
        found.response.value - found.response.value[1],
        rtol=0,
        atol=1e-10,
    )
    # Removal, the point, 1.5 and the tangent's two sides.
    assert found.n_models == 5 * 40


def test_a_group_moves_in_proportion_to_its_weights() -> None:
    at = (0.5, 1.0, 2.0, 0.8, 1.0)
    found = response_curve(
        PROBLEM, [0, 2], at=at, multiples=(0.0, 0.5, 2.0), step=0.01, n_seeds=5
    )
    assert found.label == "row 0, row 2"
    design_seeds = FiniteDifference(n_seeds=5, step=0.005)
    each = response_derivative(PROBLEM, design_seeds, at=at, coordinates=[0, 2])
    expected = 0.5 * each.scores[0] + 2.0 * each.scores[1]
    torch.testing.assert_close(found.tangent.value, expected, rtol=1e-3, atol=0)
    # F(t) - F(1) = (t^3 - 1) (F(1) - F(0)) of cubes.
    for t, change in zip(found.multiples, found.change.value, strict=True):
        expected = (t**3 - 1) * found.secant.value
        torch.testing.assert_close(change, expected, rtol=1e-9, atol=1e-9)
    assert found.point.kind == "vector"
    # At equal weights the tangent is the group's derivative.
    level = response_curve(PROBLEM, [0, 2], step=0.1, n_seeds=5)
    groups = Groups(groups=(0, 1, 0, 1, 1), chosen=(0,))
    whole = response_derivative(
        PROBLEM, FiniteDifference(step=0.1, n_seeds=5, along=groups)
    )
    assert torch.equal(level.tangent.value, whole.scores[0])


def test_a_datamodels_slope_stands_beside_the_others() -> None:
    units = normal(7, N_TRAIN, 2, seed=8)
    stderr = units.std(0) / math.sqrt(7)
    datamodel = an_attribution(
        units.mean(0), units=units, stderr=stderr, unit="per_epsilon"
    )
    at = (0.5, 1.0, 2.0, 0.8, 1.0)
    one = response_curve(PROBLEM, 2, at=at, n_seeds=2, datamodel=datamodel).datamodel
    assert one is not None
    assert one.stderr is not None
    torch.testing.assert_close(one.value, 2 * datamodel.scores[2] / N_TRAIN)
    torch.testing.assert_close(one.stderr, 2 * stderr[2] / N_TRAIN)
    two = response_curve(PROBLEM, [0, 2], at=at, n_seeds=2, datamodel=datamodel)
    assert two.datamodel is not None
    assert two.datamodel.stderr is not None
    summed = (0.5 * units[:, 0] + 2 * units[:, 2]) / N_TRAIN
    torch.testing.assert_close(two.datamodel.value, summed.mean(0))
    torch.testing.assert_close(two.datamodel.stderr, summed.std(0) / math.sqrt(7))
    # Without units nobody knows how two coefficients err together.
    alone = an_attribution(units.mean(0), stderr=stderr)
    found = response_curve(PROBLEM, [0, 2], n_seeds=2, datamodel=alone).datamodel
    assert found is not None
    assert found.stderr is None


def test_a_single_random_seed_has_no_error_to_state() -> None:
    found = response_curve(PROBLEM, 0, n_seeds=1)
    assert found.tangent.stderr is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"examples": N_TRAIN}, r"examples must lie in \[0, 5\), got 5"),
        ({"examples": []}, "number of examples must be at least 1, got 0"),
        ({"examples": [1, 1]}, "examples must be distinct"),
        (
            {"at": Bernoulli(p=0.5)},
            "at must be a point w for a curve, got a",
        ),
        ({"at": [0.0] + [1.0] * 4}, "at must give the examples that move a weight > 0"),
        ({"multiples": ()}, "number of multiples must be at least 1, got 0"),
        ({"multiples": (-0.5, 1.0)}, "multiples must be >= 0, got -0.5"),
        ({"multiples": (math.nan,)}, "multiples must be finite, got nan"),
        ({"step": 1.0}, r"step must lie in \(0, 1\), got 1"),
        ({"n_seeds": 0}, "n_seeds must be at least 1, got 0"),
        (
            {"datamodel": an_attribution(normal(5, 2, seed=1), problem="another")},
            "datamodel must have the problem of the curve, 'made-up', got 'another'",
        ),
        (
            {"datamodel": an_attribution(normal(5, 2, seed=1), output="loss")},
            "datamodel must have the output of the curve, 'margin', got 'loss'",
        ),
    ],
)
def test_a_curve_that_cannot_be_drawn_is_refused(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        response_curve(PROBLEM, **{"examples": 0, **arguments})


def cubic(weights: Tensor, seeds: Tensor) -> Tensor:
    """Return a cubic around w = (1, ..., 1) whose partial derivatives are stated."""
    u = weights - 1
    linear = u @ FIRST + (u**2 / 2) @ SECOND + (u**3 / 6) @ THIRD
    mixed = ((u**2 @ MIXED.T) * u).sum(1) / 2
    return (linear + mixed + 5 * u[:, 0] * u[:, 1] + 3 * u[:, :3].prod(1))[:, None]


FIRST, SECOND, THIRD = (normal(N_TRAIN, seed=s) for s in (1, 2, 3))
MIXED = normal(N_TRAIN, N_TRAIN, seed=4).fill_diagonal_(0.0)


@pytest.mark.parametrize("coordinates", [None, [3, 0]])
def test_derivatives_of_a_cubic_are_exact(coordinates: list[int] | None) -> None:
    problem = BlackBox(
        description=a_description(N_TRAIN, 1, deterministic=True),
        train_and_measure=cubic,
    )
    found = diagonal_derivatives(problem, at=1.0, coordinates=coordinates, step=0.3)
    rows = list(range(N_TRAIN)) if coordinates is None else coordinates
    # A central first difference sees h^2/6 of the third derivative.
    expected = {
        "first": FIRST + 0.3**2 / 6 * THIRD,
        "second": SECOND,
        "third": THIRD,
        "mixed": MIXED.sum(1),
    }
    for name, truth in expected.items():
        seen = found.estimate(name)
        torch.testing.assert_close(seen.value[:, 0], truth[rows], rtol=0, atol=1e-12)
        assert seen.stderr is not None
        assert not seen.stderr.any()
    n = N_TRAIN
    many = 2 * n * (n - 1) + 4 * n + 1
    assert found.n_models == (many if coordinates is None else 2 * (4 * 4 + 4) - 4 + 1)
    assert found.train_labels == tuple(f"row {i}" for i in rows)


@pytest.mark.parametrize("p", [0.3, 0.5])
def test_the_correction_is_that_of_implicit_derivatives(p: float) -> None:
    # Third differences of F against second differences of derivatives by the implicit
    # function theorem: both have a bias of h^2, which a second step takes out.
    problem = LeastSquares(data=table(7, 2, seed=3), ridge=0.3, normalisation="count")
    exact = second_order_terms(problem, p, step=1e-3)
    coarse, fine = (
        diagonal_derivatives(problem, at=p, step=h).correction(p).value
        for h in (0.04, 0.02)
    )
    assert (coarse - exact).norm() < 0.1 * exact.norm()
    extrapolated = (4 * fine - coarse) / 3
    assert (extrapolated - exact).norm() < 2e-3 * exact.norm()


def test_errors_of_a_correction_are_over_seeds() -> None:
    # F_ii = 6 (i + 1 + u_i) w and F_iii = 6 (i + 1 + u_i), u uniform on [0, 1).
    p = 0.25
    found = diagonal_derivatives(PROBLEM, at=p, step=0.1, n_seeds=40, coordinates=[1])
    seen = found.correction(p)
    variance = p * (1 - p)
    factor = 0.5 * (1 - 2 * p) * 6 * p + (1 - 3 * variance) / 6 * 6
    assert seen.stderr is not None
    assert abs(seen.value[0, 0] - 2.5 * factor) < 5 * seen.stderr[0, 0]
    expected = factor / math.sqrt(12 * 40)
    assert seen.stderr[0, 0].item() == pytest.approx(expected, rel=0.4)
    torch.testing.assert_close(seen.value[:, 1], 2 * seen.value[:, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"at": Bernoulli(p=0.5)}, "at must be a point w for higher derivatives"),
        ({"at": 0.15}, "step must keep weights >= 0: the largest move is 0.2"),
        (
            {"at": [1.0] * 4 + [0.05], "coordinates": [0]},
            "the largest move is 0.1 where the weight is 0.05",
        ),
        ({"step": 0.0}, "step must be finite and > 0, got 0"),
        ({"n_seeds": 0}, "n_seeds must be at least 1, got 0"),
    ],
)
def test_higher_derivatives_that_cannot_be_taken_are_refused(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        diagonal_derivatives(PROBLEM, **{"at": 1.0, **arguments})
    with pytest.raises(ValueError, match="p must lie in"):
        diagonal_derivatives(PROBLEM, at=1.0, n_seeds=1).correction(1.0)

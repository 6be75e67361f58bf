"""What a number is, and how two of them should relate."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import an_estimand, unchecked

from dmtheory import Estimand, Point, expected_slope

points = st.one_of(
    st.tuples(st.just("weights"), st.floats(0, exclude_min=True, allow_infinity=False)),
    st.tuples(
        st.sampled_from(["subsets", "average"]),
        st.floats(0, 1, exclude_min=True, exclude_max=True),
    ),
)
fields = st.fixed_dictionaries({
    "quantity": st.sampled_from([
        "datamodel",
        "response derivative",
        "influence",
        "leave-one-out",
        "proximal Bregman response",
        "TRAK",
    ]),
    "output": st.text(),
    "normalisation": st.sampled_from(["sum", "count", "unknown"]),
    "step_policy": st.sampled_from(["fixed", "proportional", "unknown"]),
    "problem": st.text(),
    "unit": st.sampled_from(["per_weight", "per_epsilon"]),
    "seeds_per_weight": st.integers(1, 10**6),
})


@given(point=points, fields=fields)
def test_an_estimand_survives_json(
    point: tuple[str, float], fields: dict[str, Any]
) -> None:
    estimand = Estimand(point=Point(*point), **fields)
    assert Estimand.from_json(json.loads(json.dumps(estimand.to_json()))) == estimand


AT_ONE = Point("weights", 1.0)
AT_HALF = Point("weights", 0.5)
OVER_HALVES = Point("subsets", 0.5)
OVER_MOST = Point("subsets", 0.9)
AVERAGE = Point("average", 0.5)


@pytest.mark.parametrize(
    ("normalisation", "a", "b", "slope"),
    [
        ("sum", OVER_HALVES, AT_ONE, 2.0),  # theory 3.2: beta ~ g(1)/p
        ("sum", AT_ONE, OVER_HALVES, 0.5),
        ("sum", OVER_HALVES, AT_HALF, 1.0),  # theory 3.1
        ("sum", AT_HALF, AT_ONE, 2.0),  # theory 2.8: g(c·1) = g(1)/c
        ("sum", OVER_MOST, OVER_HALVES, 0.5 / 0.9),
        ("sum", OVER_HALVES, AVERAGE, 1.0),  # theory 2.2
        ("count", OVER_HALVES, AT_HALF, 1.0),
        ("count", OVER_HALVES, AVERAGE, 1.0),
        ("count", OVER_HALVES, AT_ONE, None),
        ("unknown", OVER_HALVES, AT_ONE, None),
    ],
)
def test_the_expected_slope_is_that_of_theory(
    normalisation: str, a: Point, b: Point, slope: float | None
) -> None:
    found = expected_slope(
        an_estimand(point=a, normalisation=normalisation),
        an_estimand(point=b, normalisation=normalisation),
    )
    assert found == (slope if slope is None else pytest.approx(slope, rel=1e-15))


def named(quantity: str, level: float) -> Estimand:
    return an_estimand(
        quantity=quantity, point=Point("weights", level), normalisation="sum"
    )


@pytest.mark.parametrize("removal", ["leave-one-out", "proximal Bregman response"])
def test_a_removal_is_the_derivative_times_the_weight_that_goes(removal: str) -> None:
    # To first order F(c·1) - F(c·1 - c e_i) = c g(c·1), and c g(c·1) = g(1).
    at_one, at_quarter = named(removal, 1.0), named(removal, 0.25)
    assert expected_slope(at_one, named("influence", 1.0)) == 1.0
    assert expected_slope(at_quarter, named("influence", 0.25)) == 0.25
    assert expected_slope(named("influence", 0.25), at_quarter) == 4.0
    assert expected_slope(at_quarter, named("influence", 1.0)) == 1.0
    assert expected_slope(at_quarter, at_one) == 1.0
    vector = Point("vector", 0.5, "w")
    moved = an_estimand(quantity=removal, point=vector)
    assert expected_slope(moved, moved) == 1.0
    assert expected_slope(moved, an_estimand(point=vector)) is None


@pytest.mark.parametrize("score", ["gradient product", "TracIn", "TRAK", "representer"])
def test_scores_without_a_scale_have_a_slope_on_their_like_alone(score: str) -> None:
    assert expected_slope(named(score, 1.0), named(score, 1.0)) == 1.0
    assert expected_slope(named(score, 1.0), named("influence", 1.0)) is None
    assert expected_slope(named("datamodel", 1.0), named(score, 1.0)) is None


def test_changing_the_unit_changes_nothing_else() -> None:
    before = an_estimand()
    after = before.in_unit("per_epsilon")
    assert after.unit == "per_epsilon"
    assert after.in_unit("per_weight") == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity": "shapley"}, "quantity must be one of datamodel, .* 'shapley'"),
        ({"unit": "per_removal"}, "unit must be one of per_weight, per_epsilon"),
        ({"normalisation": "batch_sum"}, "normalisation must be one of sum, count"),
        ({"step_policy": "early"}, "step_policy must be one of fixed, proportional"),
    ],
)
def test_an_unknown_word_is_refused(change: dict[str, Any], message: str) -> None:
    with unchecked(), pytest.raises(ValueError, match=message):
        an_estimand(**change)


@pytest.mark.parametrize(
    ("kind", "level", "message"),
    [
        ("somewhere", 0.5, "kind must be one of weights, vector, subsets, average"),
        ("weights", 0.0, "level must be finite and > 0, got 0"),
        ("weights", float("nan"), "level must be finite and > 0, got nan"),
        ("subsets", 1.0, r"level must lie in \(0, 1\) for subsets, got 1"),
        ("average", 1.5, r"level must lie in \(0, 1\) for subsets, got 1.5"),
    ],
)
def test_an_impossible_point_is_refused(kind: str, level: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Point(kind, level)


def test_an_estimand_reads_as_a_sentence() -> None:
    assert str(an_estimand(seeds_per_weight=3)) == (
        "datamodel at S ~ Bernoulli(0.5) of the margin, per weight, normalisation sum, "
        "fixed steps, 3 seed(s) a weight vector"
    )
    assert str(AT_ONE) == "w = 1"
    assert str(AT_HALF) == "w = 0.5·1"
    assert "averaged over S ~ Bernoulli(0.5)" in str(AVERAGE)

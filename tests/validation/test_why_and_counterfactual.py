"""Claims that rank and remove notice what is wrong, on made-up models in seconds."""

from dataclasses import replace

import pytest
import torch
from samples import an_attribution, normal

from dmtheory.agreement.subset_outputs import evaluation_of_arrays
from dmtheory.applications import retrain_without
from dmtheory.applications.choosing import crossed
from dmtheory.applications.counterfactual import chosen_sets
from dmtheory.attribution import Attribution
from dmtheory.problems.set_functions import SetFunction
from dmtheory.theory.noise_laws import spearman_of_normal
from validation.claim import Entry, Evidence
from validation.claims import CLAIMS, counterfactual, why_datamodels_win
from validation.claims.why_datamodels_win import LAW, fixed_damping
from validation.studies import lds_axis
from validation.verdicts.controls import CONTROLS, permuted

COUNT = Entry(scale="M", problem="digits-count", suite="thorough")
N = 40


def estimate(truth, noise: float, seed: int) -> Attribution:
    units = truth + noise * normal(10, *truth.shape, seed=seed)
    return an_attribution(
        units.mean(0), units=units, normalisation="count", seeds=frozenset({seed})
    )


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """A truth at p and another at 1; single seeds are noisy, and so are outputs."""
    truth, elsewhere = normal(N, 4, seed=1), normal(N, 4, seed=2)
    masks = (normal(300, N, seed=3) > 0).double()
    outputs = masks @ truth
    noise = outputs.std() * normal(300, 4, seed=4)
    names = [part(n) for part in lds_axis.POINTS.values() for n in lds_axis.SEEDS]
    sides = {name: estimate(truth, 1.5, 50) for name in names}
    for n in lds_axis.SEEDS:
        sides[f"influence at 1, {n} seed(s)"] = estimate(truth + elsewhere, 1.5, 50)
    datamodel = estimate(truth, 0.3, 60)
    labels = {
        "train_labels": datamodel.train_labels,
        "target_labels": datamodel.target_labels,
    }
    return Evidence(
        estimates={
            "datamodel": datamodel,
            **sides,
            fixed_damping("1"): sides["influence at 1, 10 seed(s)"],
            fixed_damping("p"): estimate(truth, 4.0, 50),
        },
        # Half of the outputs' variance is noise, and the datamodel misses little.
        numbers={
            LAW: spearman_of_normal(0.5**0.5),
            "damping at 1": 0.03,
            "damping at p": 0.001,
        },
        held_out={
            "held out": replace(evaluation_of_arrays(masks, outputs + noise), **labels)
        },
    )


def test_the_factors_come_out_apart(evidence: Evidence) -> None:
    parts = {p.name: p for p in CLAIMS["why-datamodels-win"].judge(evidence, COUNT)}
    assert all(part.passed for part in parts.values())
    assert parts["the damping at 1"].interval.value == 0
    assert parts["the damping at p"].interval.low > 0
    assert "0.001" in parts["the damping at p"].statement
    assert 0 < parts["the matched point"].interval.low


def test_every_wrong_estimate_that_it_has_to_notice_fails(evidence: Evidence) -> None:
    claim = CLAIMS["why-datamodels-win"]
    kinds = [control for control in CONTROLS if control.kind in claim.notices]
    assert {"sign", "rank"} == {control.kind for control in kinds}
    for control in kinds:
        parts = claim.judge(control.applied(evidence), COUNT)
        assert not all(part.passed for part in parts), control.name


@pytest.mark.parametrize(
    "name", ["datamodel", "influence at p, 10 seed(s)"], ids=["datamodel", "influence"]
)
def test_one_permuted_side_alone_is_noticed(evidence: Evidence, name: str) -> None:
    """The whole of it, each in turn: what is averaged, matched or the datamodel."""
    wrong = {**evidence.estimates, name: permuted(1.0)(evidence.estimates[name])}
    parts = CLAIMS["why-datamodels-win"].judge(
        replace(evidence, estimates=wrong), COUNT
    )
    assert not all(part.passed for part in parts)


def test_intervals_of_differences_count_the_models_of_both_sides(
    evidence: Evidence,
) -> None:
    """Wider than over subsets alone; equal sides with the same models differ by 0."""
    one, two = "influence at p, 10 seed(s)", fixed_damping("p")
    found = why_datamodels_win._difference(evidence, one, two)
    same = why_datamodels_win._difference(evidence, one, one)
    assert (same.low, same.value, same.high) == (0, 0, 0)
    fixed = replace(
        evidence,
        estimates={
            name: replace(side, units=side.scores.expand(10, -1, -1))
            for name, side in evidence.estimates.items()
        },
    )
    subsets_alone = why_datamodels_win._difference(fixed, one, two)
    assert subsets_alone.value == found.value
    assert found.high - found.low > 1.05 * (subsets_alone.high - subsets_alone.low)


# Removals


def removals(square: float) -> Evidence:
    """Return removals from F = -(d + square d^2), d the sum of what is not there."""
    effects = 0.4 + 0.1 * normal(10, 6, seed=7)
    absent = 1 - ((torch.arange(2**10)[:, None] >> torch.arange(10)) & 1).double()
    lost = absent @ effects
    problem = SetFunction(values=-(lost + square * lost**2))
    units = effects + 0.01 * normal(8, 10, 6, seed=9)
    datamodel = replace(
        an_attribution(units.mean(0), units=units, normalisation="count"),
        train_labels=problem.description.train_labels,
        target_labels=problem.description.target_labels,
    )
    one, two = crossed(datamodel)
    halves = {"a": one, "b": two}
    retrained = {
        f"full data, {k}": retrain_without(
            problem, counterfactual.flat(chosen_sets(halves, range(6), (k,)))
        )
        for k in (1, 6)
    }
    return Evidence(
        estimates={
            "datamodel": datamodel,
            counterfactual.FIRST: one.by,
            counterfactual.SECOND: one.predicted_by,
        },
        references={
            "chosen by the first half": one.by,
            "chosen by the second half": two.by,
        },
        retrained=retrained,
    )


def test_more_than_the_sum_is_refuted_and_the_sum_is_not() -> None:
    """Six of about 2.7 in all do 1 + .17 * 2.7 = 1.46 times what they add up to."""
    claim = CLAIMS["counterfactual-full-data"]
    entry = claim.entries[0]
    assert claim.expected == "refuted"
    evidence = removals(0.17)
    parts = claim.judge(evidence, entry)
    assert all(part.passed for part in parts)
    assert parts[0].headline
    assert parts[0].interval.value == pytest.approx(1.46, abs=0.05)
    additive = claim.judge(removals(0.0), entry)
    assert additive[0].interval.value == pytest.approx(1, abs=0.02)
    assert additive[0].verdict == "supported"
    for control in CONTROLS:
        if control.kind in claim.notices:
            wrong = claim.judge(control.applied(evidence), entry)
            assert not all(part.passed for part in wrong), control.name

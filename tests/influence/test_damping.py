"""The choice of damping against influence at each, and on a made-up truth."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from samples import normal, responses_of, table, unchecked
from scipy.stats import spearmanr

from dmtheory import ExactHessian, GaussNewton, collect, influence, lds
from dmtheory.designs import Bernoulli, Replicates
from dmtheory.influence.damping import choose_damping
from dmtheory.problems import MLP, SGD, LogisticRegression, Network

DAMPINGS = (0.003, 0.03, 0.3)
LAW = Bernoulli(p=0.5, n_models=40, seed=7)


def network(**more: Any) -> Network:
    return Network(
        make_module=MLP((2, 3, 3)),
        data=table(12, 2, classes=3, seed=2),
        training=SGD(epochs=6, batch_size=4, weight_decay=0.02),
        **more,
    )


def logistic(**more: Any) -> LogisticRegression:
    return LogisticRegression(data=table(16, 3, classes=2, seed=4), ridge=0.05, **more)


@pytest.mark.parametrize("normalisation", ["sum", "count"])
@pytest.mark.parametrize("at", [1.0, 0.5, Bernoulli(p=0.4, n_models=3)])
def test_the_chosen_influence_is_influence_with_that_damping(
    at: Any, normalisation: Any
) -> None:
    problem = network(normalisation=normalisation)
    pilot = collect(problem, LAW)
    counts: list[int] = []
    found = choose_damping(
        problem,
        pilot,
        dampings=DAMPINGS[::-1],
        at=at,
        n_seeds=2,
        seed=3,
        progress=counts.append,
    )
    assert found.damping in DAMPINGS
    assert tuple(row.damping for row in found.curve) == DAMPINGS
    n_models = 3 if isinstance(at, Bernoulli) else 2
    assert counts == [1] * n_models
    same = influence(
        problem,
        curvature=GaussNewton(),
        damping=found.damping,
        at=at,
        n_seeds=2,
        seed=3,
    )
    torch.testing.assert_close(
        found.attribution.scores, same.scores, rtol=1e-8, atol=1e-11
    )
    torch.testing.assert_close(
        found.attribution.units, same.units, rtol=1e-8, atol=1e-11
    )
    assert found.attribution.estimand == same.estimand
    assert found.attribution.seeds == {3, 7}
    assert found.attribution.n_models == n_models + 40
    assert "damping chosen by lds on 40 subsets" in found.attribution.method


def test_the_curve_is_the_lds_error_and_slope_of_each_damping() -> None:
    problem = network()
    pilot = collect(problem, LAW)
    found = choose_damping(problem, pilot, dampings=DAMPINGS, at=0.5, seed=3)
    masks, outputs = pilot.weights(), pilot.outputs
    for row in found.curve:
        scores = influence(
            problem, curvature=GaussNewton(), damping=row.damping, at=0.5, seed=3
        )
        direct = lds(scores, pilot).mean
        assert row.lds.value == pytest.approx(direct.value, abs=1e-12)
        assert row.lds.low == pytest.approx(direct.low, abs=1e-9)
        predicted = masks @ scores.scores
        by_hand = np.mean([
            spearmanr(predicted[:, t], outputs[:, t]).statistic for t in range(4)
        ])
        assert row.lds.value == pytest.approx(by_hand)
        x, y = predicted - predicted.mean(0), outputs - outputs.mean(0)
        error = (y - x).square().sum() / y.square().sum()
        assert row.error.value == pytest.approx(error.item())
        slope = (x * y).sum() / x.square().sum()
        assert row.slope.value == pytest.approx(slope.item())
        assert row.slope.low < row.slope.value < row.slope.high
    best = max(found.curve, key=lambda row: row.lds.value)
    assert found.damping == best.damping
    for row in found.curve:
        gap = row.lds.value - best.lds.value
        assert row.lower.value == pytest.approx(gap, abs=1e-12)


@pytest.mark.parametrize("by", ["lds", "error"])
@pytest.mark.parametrize("truth", DAMPINGS)
def test_outputs_made_of_one_damping_choose_it(by: Any, truth: float) -> None:
    # Outputs of made-up subsets are the scores of one damping exactly.
    problem = network()
    scores = influence(
        problem, curvature=GaussNewton(), damping=truth, at=0.5, seed=3
    ).scores
    masks = LAW.weights(torch.arange(40), 12)
    outputs = masks @ scores + normal(1, 4, seed=1)
    pilot = responses_of(LAW, outputs, problem.description)
    found = choose_damping(problem, pilot, dampings=DAMPINGS, by=by, at=0.5, seed=3)
    assert found.damping == truth
    chosen = next(row for row in found.curve if row.damping == truth)
    assert chosen.error.value == pytest.approx(0, abs=1e-12)
    assert chosen.slope.value == pytest.approx(1)
    assert chosen.lds.value == pytest.approx(1)
    assert found.at_end == (truth != 0.03)
    # Half the size keeps ranks and has the slope 1/2.
    halved = responses_of(LAW, outputs / 2, problem.description)
    found = choose_damping(problem, halved, dampings=DAMPINGS, at=0.5, seed=3)
    chosen = next(row for row in found.curve if row.damping == truth)
    assert chosen.lds.value == pytest.approx(1)
    assert chosen.slope.value == pytest.approx(0.5)


def test_the_pilot_cannot_judge_what_it_chose() -> None:
    problem = network()
    pilot = collect(problem, LAW)
    found = choose_damping(problem, pilot, dampings=DAMPINGS, seed=3)
    with pytest.raises(ValueError, match="must share no seeds, got experiment seed 7"):
        lds(found.attribution, pilot)
    fresh = collect(problem, replace(LAW, seed=8))
    assert -1 <= lds(found.attribution, fresh).mean.value <= 1
    with pytest.raises(ValueError, match="must share no seeds, got experiment seed 7"):
        choose_damping(problem, pilot, dampings=DAMPINGS, seed=7)


def test_replicates_and_given_parameters_do() -> None:
    problem = network()
    twice = Replicates(design=replace(LAW, n_models=20), n_replicates=2)
    params = problem.fit(torch.ones(2, 12).double(), torch.arange(2)).params
    found = choose_damping(
        problem, collect(problem, twice), dampings=(0.1,), parameters=params
    )
    assert found.damping == 0.1
    assert found.attribution.seeds == {7}
    assert found.attribution.n_models == 40
    assert found.curve[0].lower.value == 0


def test_of_equal_dampings_the_largest_is_taken() -> None:
    problem = logistic()
    masks = LAW.weights(torch.arange(40), 16)
    outputs = masks @ influence(problem).scores
    pilot = responses_of(LAW, outputs, problem.description)
    found = choose_damping(problem, pilot, dampings=(0.0, 1e-12), by="lds")
    assert found.damping == 1e-12


def test_what_cannot_be_chosen_is_refused() -> None:
    problem = network()
    pilot = collect(problem, LAW)
    with pytest.raises(ValueError, match="dampings must hold at least one, got none"):
        choose_damping(problem, pilot, dampings=())
    with pytest.raises(ValueError, match="damping must be finite and >= 0, got -1"):
        choose_damping(problem, pilot, dampings=(-1.0, 1.0))
    with pytest.raises(ValueError, match="damping must be finite and >= 0, got nan"):
        choose_damping(problem, pilot, dampings=(math.nan,))
    with pytest.raises(ValueError, match="the exact Hessian positive definite, but 0"):
        choose_damping(
            problem, pilot, dampings=(0.0, 1.0), curvature=ExactHessian(), seed=3
        )
    with unchecked(), pytest.raises(ValueError, match="by must be one of lds, error"):
        choose_damping(problem, pilot, by="slope")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must have the same problem"):
        choose_damping(logistic(), pilot)
    with pytest.raises(ValueError, match="draws must be at least 1000"):
        choose_damping(problem, pilot, draws=10)

"""The stopping rule beside hindsight, and masks that share a seed at any p."""

from dataclasses import replace
from math import sqrt

import pytest
import torch

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.subset_outputs import evaluation_of
from dmtheory.data.digits import digits
from dmtheory.datamodels.inference.stopping import Look
from dmtheory.engines.local import Serial
from dmtheory.problems.network import Network
from dmtheory.training.modules import MLP
from dmtheory.training.procedures import SGD
from validation.laboratory import Laboratory
from validation.problems import SMALL
from validation.statistics.replicates import mean_of
from validation.studies import pairing, stopping
from validation.studies.stopping import hindsight, stopping_chart, stopping_figure

NAME = "digits-sum"


def test_hindsight_reads_the_curve_between_sizes_by_their_logarithm() -> None:
    sizes, scores = (100, 400, 1600), [0.2, 0.4, 0.8]
    assert hindsight(sizes, scores, 0.3) == pytest.approx(sqrt(100 * 400))
    assert hindsight(sizes, scores, 0.6) == pytest.approx(sqrt(400 * 1600))
    assert hindsight(sizes, scores, 0.1) == 100
    assert hindsight(sizes, scores, 0.9) is None


def test_the_chart_says_what_the_rule_took_and_what_was_needed() -> None:
    sizes = (100, 200, 400, 800)
    looks = tuple(
        Look(n_models=m, predicted=y, limit=y - 0.1)
        for m, y in zip(sizes, (0.3, 0.5, 0.6), strict=False)
    )
    reached = [Interval(y, y - 0.01, y + 0.01) for y in (0.2, 0.5, 0.6, 0.7)]
    made = stopping_chart(looks, sizes, reached, 0.5, stopped=True)
    assert "Stopped after 400 trainings" in made["caption"]
    assert "about 200: the rule took 2.00 times as many" in made["caption"]
    foretold, seen, goal = made["series"]
    assert foretold["x"] == [100, 200, 400]
    assert foretold["low"] == pytest.approx([0.2, 0.4, 0.5])
    assert seen["y"] == [0.2, 0.5, 0.6, 0.7]
    assert goal["y"] == [0.5, 0.5]
    open_ = stopping_chart(looks, sizes, reached, 0.9, stopped=False)
    assert "Not sure of it after 400" in open_["caption"]
    assert "no number up to the last" in open_["caption"]


def _network() -> Network:
    training = SGD(epochs=4, batch_size=30, learning_rate=0.15, weight_decay=1e-2)
    data = digits(n_train=60, n_targets=6)
    return Network(make_module=MLP((64, 4, 10)), data=data, training=training)


def test_the_rule_stops_where_the_pairs_are_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(stopping.GOALS, NAME, 0.3)
    setting = replace(SMALL[NAME], make=_network, n_models=400, n_evaluation=100)
    laboratory = Laboratory(
        {NAME: setting}, seed=0, engine=Serial(), progress=lambda *_: None
    )
    held_out = evaluation_of(laboratory.evaluation(NAME))
    made = stopping_figure(laboratory, NAME, held_out)
    foretold, reached, goal = made["series"]
    # At the first look whose limit meets the goal, and at none before.
    assert [low >= 0.3 for low in foretold["low"]] == [False] * (
        len(foretold["low"]) - 1
    ) + [True]
    stop = foretold["x"][-1]
    assert stop < 400
    # What is reached there is at least the goal, though no look has seen it.
    seen = dict(zip(reached["x"], reached["y"], strict=True))
    assert seen[stop] > goal["y"][0]


def test_blocks_keep_at_one_quarter_what_pairs_have_at_one_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Six replicates; the figure's sixteen give 6.8 [5.0, 9.3] and 1.3 [1.1, 1.7]."""
    monkeypatch.setattr(pairing, "REPLICATES", 6)
    monkeypatch.setattr(pairing, "LEVELS", (0.25,))
    blocks = pairing.gains("disjoint blocks")[0.25]
    pairs = pairing.gains("antithetic pairs")[0.25]
    assert blocks.low > 2
    assert pairs.value < 0.5 * blocks.value
    monkeypatch.setattr(pairing, "LEVELS", (0.75,))
    assert pairing.gains("disjoint blocks") == {}


def test_the_mean_of_replicates_has_student_s_interval() -> None:
    found = mean_of(torch.tensor([1.0, 2.0, 3.0, 4.0]).double())
    # t(3) at .975 is 3.1824; the standard error is sqrt(5/3)/2.
    assert found.value == 2.5
    assert found.high - 2.5 == pytest.approx(3.182446 * sqrt(5 / 3) / 2, rel=1e-6)
    assert 2.5 - found.low == pytest.approx(found.high - 2.5)

"""The suite's damping: chosen at each point on a pilot of its own, and paid for."""

from dataclasses import replace

import pytest
import torch

from dmtheory.data.digits import digits
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.engines.local import Serial
from dmtheory.influence.classical import influence
from dmtheory.influence.damping import choose_damping
from dmtheory.problems.network import Network
from dmtheory.responses.collect import collect
from dmtheory.training.modules import MLP
from dmtheory.training.procedures import SGD
from validation.laboratory import Laboratory
from validation.problems import SMALL, THOROUGH

NAME = "digits-count"
PILOT = 20


def _network() -> Network:
    training = SGD(epochs=2, batch_size=30, learning_rate=0.15, weight_decay=1e-2)
    data = digits(n_train=60, n_targets=4)
    return Network(
        make_module=MLP((64, 4, 10)),
        data=data,
        training=training,
        normalisation="count",
    )


@pytest.fixture(scope="module")
def little() -> Laboratory:
    setting = replace(THOROUGH[NAME], make=_network, n_pilot=PILOT)
    return Laboratory(
        {NAME: setting}, seed=3, engine=Serial(), progress=lambda *_: None
    )


def test_the_damping_is_the_package_s_choice_on_a_pilot_of_its_own(
    little: Laboratory,
) -> None:
    """Against the choice made by hand, at both points, and influence with it."""
    seed = little.experiment_seed("influence")
    pilot = collect(
        _network(),
        Bernoulli(p=0.5, n_models=PILOT, seed=little.experiment_seed("damping")),
    )
    before = little.models_trained
    for at, n in ((1.0, 2), (0.5, 5)):
        choice = choose_damping(
            _network(),
            pilot,
            curvature=little.settings[NAME].curvature,
            at=at,
            n_seeds=3,
            seed=seed,
        )
        found = little.influence(NAME, at=at, n_models=n)
        assert little.damping(NAME, at=at) == choice.damping
        right = influence(
            _network(),
            curvature=little.settings[NAME].curvature,
            damping=choice.damping,
            at=at,
            n_seeds=n,
            seed=seed,
        )
        torch.testing.assert_close(found.scores, right.scores)
        # What the choice took is paid for, and may not judge it.
        assert found.n_models == max(n, 3) + PILOT
        assert little.experiment_seed("damping") in found.seeds
        assert f"chosen by LDS on {PILOT} subsets" in found.method
    # The pilot was trained once for both points.
    assert little.models_trained == before + PILOT + 3 + 5
    others = ("masks", "evaluation", "influence")
    seeds = {little.experiment_seed(stream) for stream in others}
    assert little.experiment_seed("damping") not in seeds


def test_a_smaller_pilot_is_the_first_of_it(little: Laboratory) -> None:
    before = little.models_trained
    found = little.influence(NAME, at=0.5, n_models=3, n_pilot=10)
    assert found.n_models == 3 + 10
    assert little.models_trained == before + 3


def test_the_thorough_suite_chooses_wherever_influence_is_damped() -> None:
    for setting in THOROUGH.values():
        assert (setting.n_pilot > 0) == (setting.damping > 0)
    assert all(setting.n_pilot == 0 for setting in SMALL.values())

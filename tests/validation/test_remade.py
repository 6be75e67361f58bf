"""Estimates made anew: right where nothing is wrong, and noticed where something is."""

from dataclasses import replace

import pytest
import torch

from dmtheory.data.digits import digits
from dmtheory.engines.local import Serial
from dmtheory.problems.network import Network
from dmtheory.training.modules import MLP
from dmtheory.training.procedures import SGD
from validation.claim import Entry, Evidence
from validation.claims import CLAIMS, average_not_instance, influence_gap
from validation.laboratory import Laboratory
from validation.problems import SMALL
from validation.verdicts.judging import Measured, judge_entry
from validation.verdicts.remade import (
    BY_DAMPING,
    BY_SEED,
    ONLY_SCALE_FREE,
    SEEDS_NOT_SHARED,
    WRONG_UNIT,
    remade,
)

NAME = "digits-sum"
ENTRY = Entry(scale="M", problem=NAME, suite="thorough")


def _network() -> Network:
    """Return the suite's network, of fewer digits and steps."""
    training = SGD(epochs=4, batch_size=30, learning_rate=0.15, weight_decay=1e-2)
    data = digits(n_train=60, n_targets=4)
    return Network(make_module=MLP((64, 4, 10)), data=data, training=training)


@pytest.fixture(scope="module")
def little() -> Laboratory:
    setting = replace(
        SMALL[NAME], make=_network, n_seeds=2, n_coordinates=24, accuracy_floor=None
    )
    return Laboratory(
        {NAME: setting}, seed=0, engine=Serial(), progress=lambda *_: None
    )


def test_made_anew_with_the_right_seeds_it_is_the_estimate(little: Laboratory) -> None:
    setting = little.settings[NAME]
    right = {
        "average-not-instance": lambda: little.pathwise(NAME, at=0.5, n_seeds=20),
        "inverse-p-scaling": lambda: little.derivative(NAME, at=0.3, n=24),
        "why-datamodels-win": lambda: little.influence(NAME, at=0.5, n_models=10),
    }
    for claim_id, estimate in right.items():
        make, stream = BY_SEED[claim_id]
        (found,) = make(little, NAME, little.experiment_seed(stream)).values()
        torch.testing.assert_close(found.scores, estimate().scores)
        (wrong,) = make(little, NAME, little.experiment_seed("own seeds")).values()
        assert not wrong.seeds & found.seeds
        assert wrong.estimand == found.estimand
        assert not torch.allclose(wrong.scores, found.scores, rtol=1e-2)
    # Through training, against differences of the same seeds.
    make, stream = BY_SEED["pathwise-vs-response"]
    (found,) = make(little, NAME, little.experiment_seed(stream)).values()
    differences = little.derivative(NAME, at=1.0)
    torch.testing.assert_close(
        found.scores, differences.scores, rtol=0.05, atol=0.05 * found.scores.std()
    )
    assert setting.n_seeds == len(found.units)


def test_a_law_that_holds_seed_by_seed_fails_without_the_seeds(
    little: Laboratory,
) -> None:
    claim = CLAIMS["inverse-p-scaling"]
    evidence = claim.measure(little, ENTRY)
    trained = little.models_trained
    wrong = remade(little, claim.id, ENTRY, evidence)
    assert [name for name, _ in wrong] == [SEEDS_NOT_SHARED]
    # The trainings of a wrong estimate are trainings too.
    assert little.models_trained == trained + 2 * 24 * 2
    found = judge_entry(
        Measured(
            claim_id=claim.id, entry=ENTRY, evidence=evidence, seconds=0, remade=wrong
        )
    )
    assert found["verdict"] == "supported"
    control = found["controls"][-1]
    assert control["name"] == SEEDS_NOT_SHARED
    assert control["required"]
    assert control["verdict"] == "refuted"
    # Were it missed, the entry would not pass.
    missed = judge_entry(
        Measured(
            claim_id=claim.id,
            entry=ENTRY,
            evidence=evidence,
            seconds=0,
            remade=((SEEDS_NOT_SHARED, evidence),),
        )
    )
    assert not missed["passed"]
    assert "not noticed: seeds not shared" in missed["reason"]


def test_seed_by_seed_predictions_fail_without_the_seeds(
    little: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(average_not_instance, "SUBSETS", 60)
    claim = CLAIMS["average-not-instance"]
    evidence = claim.measure(little, ENTRY)
    ((_, wrong),) = remade(little, claim.id, ENTRY, evidence)

    def same_over_another(of: Evidence) -> float:
        parts = claim.judge(of, ENTRY)
        part = next(p for p in parts if p.name == "same seed over another")
        return part.interval.value

    # What is left is chance between twenty seeds, which so small a network has much of.
    assert abs(same_over_another(wrong)) < 0.3 * same_over_another(evidence)


def test_damping_in_the_wrong_unit_leaves_the_proximal_response(
    little: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(influence_gap.REMOVED, "M", 6)
    monkeypatch.setitem(influence_gap.SEEDS, "M", 2)
    claim = CLAIMS["influence-gap"]
    evidence = claim.measure(little, ENTRY)
    damping = little.settings[NAME].damping
    again = BY_DAMPING[claim.id](little, NAME, damping)
    right = evidence.estimates[influence_gap.ESTIMATE]
    torch.testing.assert_close(
        again[influence_gap.ESTIMATE].scores, right.scores, rtol=1e-9, atol=1e-12
    )
    ((name, wrong),) = remade(little, claim.id, ENTRY, evidence)
    assert name == WRONG_UNIT
    slopes = [
        next(
            p for p in claim.judge(of, ENTRY) if p.name.startswith("slope on the prox")
        )
        for of in (evidence, wrong)
    ]
    low, high = influence_gap.SLOPE
    # Of six removals the interval is wide; the number is where theory puts it.
    assert low < slopes[0].interval.value < high
    assert slopes[0].interval.low < slopes[0].interval.value < slopes[0].interval.high
    assert slopes[1].verdict == "refuted"
    # Sixty times the damping of what is mostly damped: a small share is left.
    assert slopes[1].interval.value < 0.2 * slopes[0].interval.value


def test_influence_is_made_anew_of_the_examples_that_are_removed(
    little: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all are removed, of all: sides of other sizes cannot be compared."""
    monkeypatch.setitem(influence_gap.REMOVED, "M", 6)
    monkeypatch.setitem(influence_gap.SEEDS, "M", 1)
    for everywhere, n_removed in (((), 6), ((NAME,), 60)):
        monkeypatch.setattr(influence_gap, "ALL_REMOVED", everywhere)
        found = BY_DAMPING["influence-gap"](little, NAME, 0.1)
        some = influence_gap.removed_examples(little, ENTRY)
        labels = little.problem(NAME).description.train_labels
        assert len(some) == n_removed
        estimate = found[influence_gap.ESTIMATE]
        assert estimate.train_labels == tuple(labels[i] for i in some)


def test_nothing_is_made_anew_where_nothing_can_be_wrong_so(
    laboratory: Laboratory,
) -> None:
    convex = Entry(scale="V", problem="breast-cancer-sum")
    evidence = Evidence(estimates={})
    for claim_id in {*BY_SEED, *BY_DAMPING}:
        assert remade(laboratory, claim_id, convex, evidence) == ()
    count = Entry(scale="M", problem="digits-count")
    for claim_id in ONLY_SCALE_FREE:
        assert remade(laboratory, claim_id, count, evidence) == ()
    assert remade(laboratory, "bridge", count, evidence) == ()
    blocked = Evidence(estimates={}, blocked="accuracy")
    assert remade(laboratory, "inverse-p-scaling", count, blocked) == ()


def test_every_claim_named_is_one() -> None:
    assert {*BY_SEED, *BY_DAMPING, *ONLY_SCALE_FREE} <= set(CLAIMS)

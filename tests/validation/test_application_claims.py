"""Claims about applications where they are quick: supported, and able to fail."""

from dataclasses import replace

import pytest
import torch

from dmtheory.applications import retrain_without
from dmtheory.engines.local import Serial
from validation.claim import Entry, Evidence
from validation.claims import CLAIMS
from validation.laboratory import Laboratory
from validation.problems import THOROUGH, grouped_digits, leaked_digits
from validation.verdicts.judging import Measured, judge_entry

ENTRY = Entry(scale="V", problem="parity-interpolated", suite="thorough")


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    return Laboratory(THOROUGH, seed=3, engine=Serial(), progress=lambda *_: None)


@pytest.fixture(scope="module")
def evidence(laboratory: Laboratory) -> Evidence:
    return CLAIMS["leakage"].measure(laboratory, ENTRY)


def test_interpolation_leaves_nothing_to_leave_out(evidence: Evidence) -> None:
    claim = CLAIMS["leakage"]
    assert ENTRY in claim.entries
    found = judge_entry(
        Measured(claim_id="leakage", entry=ENTRY, evidence=evidence, seconds=0)
    )
    assert found["passed"], found["reason"]
    assert all(not control["passed"] for control in found["controls"])
    # A rule that finds something when one of two copies goes is noticed.
    loo = evidence.references["a copy left out"]
    scores = loo.scores.clone()
    scores[1] += 1e-3
    references = {"a copy left out": replace(loo, scores=scores)}
    parts = claim.judge(replace(evidence, references=references), ENTRY)
    assert parts[0].verdict == "refuted"


def test_retraining_counts_toward_the_cost_of_evidence(
    laboratory: Laboratory, evidence: Evidence
) -> None:
    problem = laboratory.problem("diabetes-sum")
    more = replace(evidence, retrained={"a": retrain_without(problem, [(1,), (2,)])})
    assert more.models_trained == evidence.models_trained + 3


def test_what_is_planted_is_what_the_claims_say() -> None:
    leaked = leaked_digits()
    assert {c.k for c in leaked.plan} == {1, 2, 3, 4}
    assert {c.noise for c in leaked.plan} == {0.0, 0.5, 1.0}
    hidden = grouped_digits()
    assert torch.bincount(hidden.train_groups + 1).tolist()[1:] == [15, 15, 15]
    assert bool((hidden.data.y_train[hidden.train_groups >= 0] == 8).all())

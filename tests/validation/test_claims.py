"""Every claim comes out as expected, and fails for estimators that are wrong.

The statistical entries have one fixed seed; their margins are such that a false alarm
has a probability far below 1e-3 at these sizes.
"""

from dataclasses import replace

import pytest

from validation.claim import Entry
from validation.claims import CLAIMS
from validation.laboratory import Laboratory
from validation.verdicts.controls import CONTROLS, permuted
from validation.verdicts.judging import Measured, judge_entry

QUICK = [
    (claim_id, entry)
    for claim_id, claim in CLAIMS.items()
    for entry in claim.entries
    if entry.scale in "CV" and entry.suite == "small"
]


@pytest.fixture(scope="module")
def judged(laboratory: Laboratory):
    kept = {}

    def judge(claim_id: str, entry: Entry):
        if (claim_id, entry) not in kept:
            evidence = CLAIMS[claim_id].measure(laboratory, entry)
            kept[claim_id, entry] = judge_entry(
                Measured(claim_id=claim_id, entry=entry, evidence=evidence, seconds=0)
            )
        return kept[claim_id, entry]

    return judge


@pytest.mark.parametrize(("claim_id", "entry"), QUICK, ids=str)
def test_claim_comes_out_as_expected(judged, claim_id: str, entry: Entry) -> None:
    found = judged(claim_id, entry)
    assert found["passed"], found["reason"]
    assert found["verdict"] == CLAIMS[claim_id].expected


@pytest.mark.parametrize(("claim_id", "entry"), QUICK, ids=str)
def test_claim_fails_for_wrong_estimates(judged, claim_id: str, entry: Entry) -> None:
    controls = judged(claim_id, entry)["controls"]
    notices = CLAIMS[claim_id].notices
    assert {control["name"] for control in controls} == {
        control.name for control in CONTROLS if control.kind in notices
    }
    assert {"scale", "rank"} & set(notices)
    for control in controls:
        assert not control["passed"], control["name"]
        assert control["detail"]


def test_posted_slopes_lie_where_theory_says(judged) -> None:
    for claim_id, entry in QUICK:
        if claim_id == "posted-identity" and not entry.problem.endswith("count"):
            slope = judged(claim_id, entry)["parts"][0]
            assert 1.7 < slope["low"] <= slope["high"] < 2.6


def test_permuted_examples_fail_the_correlation(laboratory: Laboratory) -> None:
    """A claim about rank fails when rows are permuted."""
    claim, entry = (
        CLAIMS["matched-derivative"],
        Entry(scale="V", problem="diabetes-sum"),
    )
    evidence = claim.measure(laboratory, entry)
    wrong = permuted(1.0)(evidence.estimates["datamodel"])
    parts = claim.judge(
        replace(evidence, estimates={**evidence.estimates, "datamodel": wrong}), entry
    )
    correlation = next(part for part in parts if part.name == "correlation")
    assert correlation.verdict == "refuted"


def test_a_network_that_learned_nothing_decides_nothing(laboratory) -> None:
    claim, entry = CLAIMS["sample-mean"], Entry(scale="C", problem="sample-mean")
    evidence = replace(claim.measure(laboratory, entry), blocked="accuracy .5")
    found = judge_entry(
        Measured(claim_id="sample-mean", entry=entry, evidence=evidence, seconds=0)
    )
    assert found["verdict"] == "inconclusive"
    assert found["passed"] is False
    assert "accuracy .5" in found["reason"]


def test_estimates_that_are_compared_share_no_seed(laboratory: Laboratory) -> None:
    seeds = [
        laboratory.experiment_seed(stream)
        for stream in ("masks", "derivative", "averaged", "leave-one-out", "influence")
    ]
    assert len(set(seeds)) == len(seeds)

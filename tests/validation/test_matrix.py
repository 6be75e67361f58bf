"""The matrix of claims by wrong estimates."""

import pytest
import torch
from samples import normal

from dmtheory.attribution import Attribution
from dmtheory.engines.local import Serial
from dmtheory.estimand import Point
from validation.claim import RANK, SCALE, SIGN, Entry
from validation.claims import CLAIMS
from validation.claims.exact import exact_attribution
from validation.laboratory import Laboratory
from validation.problems import THOROUGH, twelve_values
from validation.verdicts.controls import (
    CONTROLS,
    MORE_CONTROLS,
    divided_by_examples,
    divided_by_level,
    of_one_half,
    permuted,
)
from validation.verdicts.judging import Measured, judge_entry


def an_estimate(level: float = 0.5) -> Attribution:
    problem = twelve_values()
    return exact_attribution(
        problem,
        normal(12, 1, seed=0),
        quantity="datamodel",
        point=Point("subsets", level),
        method="made up",
    )


def test_an_exact_claim_notices_everything_down_to_one_percent(
    laboratory: Laboratory,
) -> None:
    claim, entry = CLAIMS["sample-mean"], Entry(scale="C", problem="sample-mean")
    evidence = claim.measure(laboratory, entry)
    found = judge_entry(
        Measured(
            claim_id="sample-mean",
            entry=entry,
            evidence=evidence,
            seconds=0,
            matrix=True,
        )
    )
    assert found["passed"]
    names = [control["name"] for control in found["controls"]]
    assert names == [control.name for control in (*CONTROLS, *MORE_CONTROLS)]
    unnoticed = [c["name"] for c in found["controls"] if c["passed"]]
    # Exact estimates have no halves.
    assert unnoticed == ["halves not independent"]
    required = [c["name"] for c in found["controls"] if c["required"]]
    assert required == ["estimate scaled by 1.25", "sign flipped"]
    assert found["noticed_slopes"] == {"above": 1.01, "below": pytest.approx(1 / 1.01)}


def test_a_claim_of_rank_has_no_smallest_slope(laboratory: Laboratory) -> None:
    claim = CLAIMS["noise-law"]
    entry = Entry(scale="V", problem="breast-cancer-sum")
    evidence = claim.measure(laboratory, entry)
    found = judge_entry(
        Measured(
            claim_id=claim.id, entry=entry, evidence=evidence, seconds=0, matrix=True
        )
    )
    assert found["noticed_slopes"] == {"above": None, "below": None}
    passed = {c["name"]: c["passed"] for c in found["controls"]}
    assert "estimate scaled by 2" not in passed
    assert not passed["20 % of the examples permuted"]
    assert not passed["mask columns permuted"]


def test_permutations_move_the_share_they_say_and_keep_the_values() -> None:
    estimate = an_estimate()
    for share, n_moved in ((0.2, 2), (1.0, 12)):
        wrong = permuted(share)(estimate).scores
        assert int((wrong != estimate.scores).sum()) == n_moved
        torch.testing.assert_close(wrong.sort(0).values, estimate.scores.sort(0).values)


def test_wrong_divisors_are_off_by_what_they_say() -> None:
    estimate = an_estimate(level=0.3)
    torch.testing.assert_close(
        divided_by_examples(estimate).scores * 12, estimate.scores
    )
    torch.testing.assert_close(divided_by_level(estimate).scores, 0.3 * estimate.scores)


def test_one_half_leaves_scores_and_takes_the_spread() -> None:
    estimate = an_estimate()
    assert of_one_half(estimate) is estimate


def test_every_claim_has_to_notice_a_wrong_sign_and_a_wrong_scale_or_rank() -> None:
    for claim in CLAIMS.values():
        assert SIGN in claim.notices
        assert {SCALE, RANK} & set(claim.notices), claim.id


THOROUGHLY = [
    (claim_id, entry)
    for claim_id, claim in CLAIMS.items()
    for entry in claim.entries
    if entry.scale in "CV" and entry.suite == "thorough"
]


@pytest.fixture(scope="module")
def thorough() -> Laboratory:
    return Laboratory(THOROUGH, seed=0, engine=Serial(), progress=lambda *_: None)


@pytest.mark.long
@pytest.mark.parametrize(("claim_id", "entry"), THOROUGHLY, ids=str)
def test_what_the_small_suite_lacks_fails_for_wrong_estimates_too(
    thorough: Laboratory, claim_id: str, entry: Entry
) -> None:
    """The small suite's entries at C and V are held to theirs at every change."""
    evidence = CLAIMS[claim_id].measure(thorough, entry)
    found = judge_entry(
        Measured(claim_id=claim_id, entry=entry, evidence=evidence, seconds=0)
    )
    assert found["passed"], found["reason"]
    noticed = {control["name"] for control in found["controls"]}
    assert noticed == {c.name for c in CONTROLS if c.kind in CLAIMS[claim_id].notices}
    assert not any(control["passed"] for control in found["controls"])

"""The matrix of claims by wrong estimates."""

import pytest
import torch
from samples import normal

from dmtheory.attribution import Attribution
from dmtheory.estimand import Point
from validation.claim import Entry
from validation.claims import CLAIMS
from validation.claims.exact import exact_attribution
from validation.controls import (
    CONTROLS,
    MORE_CONTROLS,
    divided_by_examples,
    divided_by_level,
    of_one_half,
    permuted,
)
from validation.judging import Measured, judge_entry
from validation.laboratory import Laboratory
from validation.problems import twelve_values


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

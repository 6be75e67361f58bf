"""What a side spends until it reaches a goal, and what the looked-at sizes hide."""

import pytest
import torch
from samples import an_attribution, normal

from dmtheory.agreement.subset_outputs import evaluation_of_arrays
from validation.claim import Entry, Evidence
from validation.claims import CLAIMS, sample_efficiency
from validation.claims.sample_efficiency import (
    ALONE,
    BEST,
    INDEPENDENT,
    PAIRED,
    PAIRS,
    SIDES,
    SIZES,
    Spent,
    _over_sets,
    prior_cost,
)
from validation.verdicts.controls import CONTROLS

ENTRY = Entry(scale="M", problem="digits-sum", suite="thorough")


def curve(*scores: float) -> dict[int, torch.Tensor]:
    sizes = (20, 50, 100)
    return {
        m: torch.full((1001,), y).double() for m, y in zip(sizes, scores, strict=True)
    }


def spent() -> Spent:
    curves = {
        INDEPENDENT: curve(0.2, 0.4, 0.9),
        PAIRS: curve(0.2, 0.3, 0.4),
        BEST: curve(0.85, 0.9, 0.95),
    }
    return Spent(curves, 0.8, torch.ones(1001).double())


def test_figures_that_the_grid_cuts_say_so() -> None:
    found = spent()
    part = found.part("", INDEPENDENT, BEST)
    # 50 and 100 stand at .4 and .9: .8 is four fifths of the way in the logarithm.
    assert part.interval.value == pytest.approx(50 * 2**0.8 / (20 + prior_cost(BEST)))
    assert part.statement.startswith("at least")
    assert found.part("", PAIRS, INDEPENDENT).statement.startswith("at least")
    assert found.part("", INDEPENDENT, PAIRS).statement.startswith("at most")
    assert found.part("", PAIRS, BEST).statement.startswith("at least")
    assert found.part("", BEST, BEST).statement.startswith("unknown")
    assert "at most" in found.note(BEST)
    assert "at least" in found.note(PAIRS)
    assert found.note(INDEPENDENT) == ""


def test_a_prior_costs_its_models_and_the_pilot_of_its_damping() -> None:
    assert prior_cost(INDEPENDENT) == prior_cost(PAIRS) == 0
    assert prior_cost(ALONE) == prior_cost(BEST) == 3 + 50
    # Nothing is damped through training.
    assert prior_cost("pairs toward the derivative at p") == 10


def test_means_over_few_sets_vary_as_much_as_their_own_law_says() -> None:
    """Two sets at 0 and 1: their mean has the variance 1/4, plain draws half of it.

    Of 1,000 draws the variance is known to 3.2 %; .15 is more than four times that.
    """
    found = _over_sets(torch.tensor([0.0, 1.0]).double()[:, None].expand(2, 1001))
    assert found[0] == 0.5
    assert found[1:].var() == pytest.approx(0.25, rel=0.15)


def test_what_the_data_credit_is_told_apart() -> None:
    """Here the prior is nearly the truth, and pairs give what independent masks do.

    The claim holds, pairs are worth 1, and a fifth of the examples permuted is noticed.
    """
    truth = normal(40, 3, seed=1)
    masks = (normal(200, 40, seed=5) > 0).double()
    outputs = (masks @ truth)[:, None] + 0.5 * normal(200, 4, 3, seed=6)
    held_out = evaluation_of_arrays(
        masks.repeat_interleave(4, 0), outputs.flatten(0, 1), n_replicates=4
    )
    estimates = {}
    for place, (side, (_, _, prior)) in enumerate(SIDES.items()):
        for size in (0,) if side == ALONE else SIZES:
            noise = 0.4 if prior else 400 / size
            shared = place if side not in (INDEPENDENT, PAIRS) else 0
            scores = truth + noise * normal(40, 3, seed=100 * shared + size)
            estimates[f"{side} | {size} | 0"] = an_attribution(scores)
    evidence = Evidence(estimates=estimates, held_out={"held out": held_out})
    claim = CLAIMS["sample-efficiency"]
    parts = {part.name: part for part in claim.judge(evidence, ENTRY)}
    assert all(part.passed for part in parts.values())
    assert parts["fewer trainings"].statement.startswith("at least")
    assert parts["pairs by themselves"].interval.value == pytest.approx(1.0)
    assert not parts["pairs by themselves"].headline
    assert parts[ALONE].interval.value > 0.8
    for control in CONTROLS:
        if control.kind in claim.notices:
            wrong = claim.judge(control.applied(evidence), ENTRY)
            assert not all(part.passed for part in wrong), control.name


def test_every_problem_has_its_limits() -> None:
    problems = {entry.problem for entry in CLAIMS["sample-efficiency"].entries}
    assert problems == set(sample_efficiency.LEAST) == set(sample_efficiency.GOOD)
    assert {INDEPENDENT, PAIRS, BEST, PAIRED, ALONE} <= set(SIDES)

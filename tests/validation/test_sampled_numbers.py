"""What is sampled has an interval, and what is supported was shown, not only missed."""

from dataclasses import replace
from math import log

import pytest
import torch
from samples import an_attribution, normal
from torch import Tensor

from dmtheory.agreement.resampling import Intervals
from dmtheory.attribution import Attribution
from dmtheory.data.dataset import Dataset
from dmtheory.derivatives.response_derivative import leave_one_out
from dmtheory.influence.classical import influence
from dmtheory.problems.linear import LeastSquares
from dmtheory.theory import exhaustive
from validation import laboratory as streams
from validation.claim import Entry, Evidence
from validation.claims import (
    CLAIMS,
    fixed_size_design,
    influence_gap,
    linear_enough,
    matched_derivative,
    regularised_datamodels,
    unrolled_to_influence,
)
from validation.laboratory import Laboratory
from validation.made_up.counted_records import counted, of_half, of_one_half
from validation.made_up.own_streams import own_seed
from validation.made_up.quadratic_removals import (
    CORRECTED,
    FIRST_ORDER,
    quadratic_removals,
)
from validation.problems import resized, tiny_table
from validation.statistics.by_seed import distance_by_seed, slope_by_seed

TINY = Entry(scale="C", problem="tiny-ridge-sum")
RANDOM = Entry(scale="C", problem="random-functions")
FULL_BATCH = Entry(scale="V", problem="cancer-full-batch")


def test_a_claims_own_streams_are_nobody_elses(laboratory: Laboratory) -> None:
    names = ("unrolled", "masks of a size", "derivative of a size")
    own = [own_seed(laboratory, name, place) for name in names for place in range(10)]
    shared = [laboratory.experiment_seed(name) for name in streams._STREAMS]
    assert len({*own, *shared}) == len(own) + len(shared)
    # Nor those of the suite's next seed.
    first = 100 * laboratory.seed
    assert first <= min(own + shared) <= max(own + shared) < first + 100
    with pytest.raises(ValueError, match="stream must be"):
        own_seed(laboratory, "pathwise")
    with pytest.raises(ValueError, match=r"place must be in \[0, 10\), got 10"):
        own_seed(laboratory, "unrolled", 10)


def test_sizes_share_no_masks(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks of one seed are nested over N, so that errors of sizes go together."""
    monkeypatch.setattr(matched_derivative, "MODELS_A_SIZE", 100)
    problem = resized("diabetes-sum", 44)
    found = [
        matched_derivative._datamodel(laboratory, problem, 0.5, place)
        for place in range(3)
    ]
    seeds = [one.seeds for one in found]
    assert len(frozenset().union(*seeds)) == 3
    assert laboratory.experiment_seed("masks") not in frozenset().union(*seeds)


def with_units(units: Tensor) -> Attribution:
    return an_attribution(units.mean(0), units=units)


def test_a_slope_by_seed_is_as_wide_as_the_seeds_differ() -> None:
    """Each seed's slope is known, so the error of their mean is std/sqrt(n).

    A quantile of 1,000 draws is known to 4 %; an interval that forgets sqrt(n/(n-1))
    is a sixth too narrow for four seeds, one that holds seeds fixed has no width.
    """
    reference = normal(30, 3, seed=1).expand(4, -1, -1)
    slopes = torch.tensor([0.9, 1.0, 1.1, 1.4], dtype=torch.float64)
    found = slope_by_seed(
        with_units(slopes[:, None, None] * reference), with_units(reference)
    )
    assert found.value == pytest.approx(1.1, abs=1e-12)
    # Of four seeds the draws are few and lumpy: their 2.5 % is not that of a normal.
    draws = slopes[torch.cartesian_prod(*[torch.arange(4)] * 4)].mean(1) - 1.1
    ends = torch.quantile(draws, torch.tensor([0.025, 0.975]).double())
    expected = (4 / 3) ** 0.5 * (ends[1] - ends[0]).item()
    assert found.high - found.low == pytest.approx(expected, rel=0.12)


def test_what_seeds_share_moves_no_slope_and_no_distance() -> None:
    reference = normal(30, 3, seed=1) + 3 * normal(8, 1, 3, seed=2)
    gap = 0.1 * normal(30, 3, seed=3)
    estimate, other = with_units(1.02 * reference), with_units(reference)
    found = slope_by_seed(estimate, other)
    assert found.low == pytest.approx(1.02, abs=1e-9)
    assert found.high == pytest.approx(1.02, abs=1e-9)
    far = distance_by_seed(with_units(reference + gap), other)
    mean = reference.mean(0)
    assert far.value == pytest.approx((gap.norm() / mean.norm()).item(), abs=1e-12)
    assert 0 < far.low < far.value < far.high


def repeated(data: Dataset, copies: int) -> Dataset:
    rows = torch.arange(data.n_train).repeat_interleave(copies)
    return replace(
        data,
        x_train=data.x_train[rows],
        y_train=data.y_train[rows],
        raw_train=None,
        train_labels=tuple(f"copy {i}" for i in range(len(rows))),
    )


@pytest.mark.parametrize("copies", [2, 4])
def test_counted_copies_are_every_subset_of_them(copies: int) -> None:
    records = resized("tiny-ridge-sum", 3)
    found = counted(records, copies)
    assert found.n_train == 3 * copies
    data = repeated(tiny_table(3), copies)
    table = exhaustive.tabulate(LeastSquares(data=data, ridge=0.3))
    fixed = exhaustive.fixed_size_datamodel(table, found.n_train // 2)
    bernoulli = exhaustive.population_regression(table, 0.5)[1]
    torch.testing.assert_close(of_half(found), fixed[::copies])
    centred = bernoulli - bernoulli.mean(0)
    torch.testing.assert_close(of_one_half(found), centred[::copies])


def test_the_gap_of_one_size_has_to_fall_as_one_over_n(
    laboratory: Laboratory,
) -> None:
    claim = fixed_size_design.CLAIM
    evidence = claim.measure(laboratory, TINY)

    def part(of: Evidence):
        return next(p for p in claim.judge(of, TINY) if p.name.startswith("near"))

    assert part(evidence).verdict == "supported"
    for power in (0.0, 0.5, 2.0):
        wrong = {}
        for name, estimate in evidence.estimates.items():
            if not name.endswith("copies"):
                continue
            n_train = int(name.split()[1].strip(","))
            centred = evidence.references[name.replace("fixed", "Bernoulli")]
            factor = 1 + n_train**-power
            wrong[name] = replace(estimate, scores=factor * centred.scores)
        found = part(replace(evidence, estimates={**evidence.estimates, **wrong}))
        assert found.interval.value == pytest.approx(-power, abs=1e-6)
        assert found.verdict == "refuted"


def finite_parts(estimate: Attribution, evidence: Evidence) -> dict[str, str]:
    wrong = {**evidence.estimates, "finite": estimate}
    parts = regularised_datamodels.CLAIM.judge(
        replace(evidence, estimates=wrong), RANDOM
    )
    return {p.name: p.verdict for p in parts if p.name.startswith("finite")}


def test_penalised_samples_are_held_to_scale_and_to_their_errors(
    laboratory: Laboratory,
) -> None:
    """Each mistake is in what a largest deviation of one target does not show."""
    evidence = regularised_datamodels.CLAIM.measure(laboratory, RANDOM)
    right = evidence.estimates["finite"]
    slope, errors = "finite m, slope", "finite m, standard errors"
    assert finite_parts(right, evidence) == {slope: "supported", errors: "supported"}
    assert finite_parts(right.scaled(1.25), evidence)[slope] == "refuted"
    assert finite_parts(right.scaled(0.8), evidence)[slope] == "refuted"
    stderr = right.stderr
    assert stderr is not None
    off = {
        "by two errors": replace(right, scores=right.scores + 2 * stderr),
        "errors too large": replace(right, stderr=3 * stderr),
        "errors too small": replace(right, stderr=stderr / 3),
    }
    for name, wrong in off.items():
        assert finite_parts(wrong, evidence)[errors] == "refuted", name
    # The last target alone, upside down.
    scores = right.scores.clone()
    scores[:, -1] *= -1
    found = finite_parts(replace(right, scores=scores), evidence)
    assert found[errors] == "refuted"


def test_every_target_has_to_be_shown_to_reach_its_bound() -> None:
    bounds = torch.tensor([0.8, 0.5, 0.4], dtype=torch.float64)
    value = torch.tensor([0.8, 0.5, 0.39], dtype=torch.float64)

    def least(width: float):
        scores = Intervals(value=value, low=value - width, high=value + width)
        return linear_enough._least(scores, bounds)

    few, many = least(0.1), least(0.01)
    assert many.value == pytest.approx(0.39 / 0.4)
    assert many.low == pytest.approx(0.38 / 0.4)
    assert many.low > linear_enough.REACHED
    # Fewer subsets show less, though no target's whole interval is below.
    assert few.low < linear_enough.REACHED < few.high


def unrolled(*errors: tuple[float, float]) -> Evidence:
    """Return seeds that are off by so much after few and many steps."""
    truth = normal(len(errors), 12, 2, seed=1)
    few, many = (
        with_units(truth * (1 + torch.tensor(off).double()[:, None, None]))
        for off in zip(*errors, strict=True)
    )
    least, most = unrolled_to_influence.STEPS[FULL_BATCH.problem]
    return Evidence(
        estimates={f"{least} steps": few, f"{most} steps": many},
        references={"influence": with_units(truth)},
    )


def test_convergence_is_that_of_seeds_not_of_one() -> None:
    claim = CLAIMS["unrolled-to-influence"]
    same = claim.judge(unrolled(*[(0.5, 0.01)] * 4), FULL_BATCH)
    assert [p.verdict for p in same] == ["supported"] * 2
    assert same[0].interval.value == pytest.approx(0.01)
    assert same[1].interval.value == pytest.approx(50)
    spread = [(0.5, 0.004), (0.5, 0.01), (0.5, 0.025), (0.5, 0.06)]
    found = claim.judge(unrolled(*spread), FULL_BATCH)
    # Their geometric mean is below .02, and four seeds do not show it.
    assert found[0].interval.value == pytest.approx(0.0157, abs=1e-4)
    assert found[0].verdict == "inconclusive"
    # Signs and scales of seeds do not average out.
    wrong = claim.judge(unrolled(*[(0.5, 0.25), (0.5, -0.2)] * 2), FULL_BATCH)
    assert wrong[0].verdict == "refuted"


def removals(problem: LeastSquares) -> dict[str, Tensor]:
    every = tuple(range(problem.description.n_train))
    return quadratic_removals(problem, every, damping=0.0, n_seeds=1, seed=0)


def test_removals_from_a_quadratic_are_first_order_over_one_less_leverage() -> None:
    problem = LeastSquares(data=tiny_table(12))
    found = removals(problem)
    torch.testing.assert_close(found[FIRST_ORDER][0], influence(problem).scores)
    torch.testing.assert_close(found[CORRECTED][0], leave_one_out(problem).scores)


def test_influence_is_judged_over_the_slope_that_leverages_leave() -> None:
    """Of a quadratic that slope is explained: 1, whatever the leverages."""
    found = removals(LeastSquares(data=tiny_table(12)))
    plain, corrected = (with_units(found[name]) for name in (FIRST_ORDER, CORRECTED))
    evidence = Evidence(
        estimates={influence_gap.ESTIMATE: plain},
        references={
            influence_gap.RESPONSE: corrected,
            FIRST_ORDER: plain,
            CORRECTED: corrected,
        },
    )
    slope = influence_gap._slope(evidence, influence_gap.RESPONSE)
    assert slope.value == pytest.approx(1, abs=1e-12)
    assert log(slope.high / slope.low) < 1e-9
    naive = (plain.scores * corrected.scores).sum() / corrected.scores.square().sum()
    assert naive < 0.9
    wrong = replace(evidence, estimates={influence_gap.ESTIMATE: plain.scaled(1.25)})
    found_wrong = influence_gap._slope(wrong, influence_gap.RESPONSE)
    assert found_wrong.low > influence_gap.SLOPE[1]

"""The linear datamodeling score by scipy; its ceiling and interval by simulation."""

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import an_attribution, generator, normal
from scipy.stats import spearmanr
from torch import Tensor

from dmtheory import Attribution, Interval, Responses, fit_datamodel, lds
from dmtheory.agreement.lds import lds_table, noise_ceiling, rank_correlations
from dmtheory.agreement.subset_outputs import evaluation_of, evaluation_of_arrays
from dmtheory.designs import (
    AntitheticPairs,
    Bernoulli,
    ComplementaryPairs,
    CoordinatePairs,
    DisjointBlocks,
    FixedSize,
    Grouped,
    Replicates,
    SubsetDesign,
)
from dmtheory.identity import numbered
from dmtheory.problems import Description
from dmtheory.theory.noise_laws import ceiling, spearman_of_normal

N_TRAIN, N_TARGETS = 8, 3


def responses_of(design: Any, outputs: Tensor, **changes: Any) -> Responses:
    n_train = changes.pop("n_train", N_TRAIN)
    description = Description(**{
        "name": "made-up",
        "digest": "made-up",
        "output": "margin",
        "normalisation": "sum",
        "step_policy": "fixed",
        "train_labels": numbered("row", n_train),
        "target_labels": numbered("question", outputs.shape[1]),
        **changes,
    })
    return Responses(
        outputs=outputs,
        design=design,
        description=description,
        diverged=~torch.isfinite(outputs).all(1),
    )


def additive(
    design: Any, *, noise: float, seed: int = 0, n_targets: int = N_TARGETS
) -> tuple[Tensor, Responses]:
    """Return coefficients, and responses x'beta + noise of every row."""
    beta = normal(N_TRAIN, n_targets, seed=50)
    weights = design.weights(torch.arange(design.n_models), N_TRAIN)
    errors = normal(len(weights), n_targets, seed=100 + seed)
    return beta, responses_of(design, 1 + weights @ beta + noise * errors)


def by_scipy(predicted: Tensor, trained: Tensor) -> list[float]:
    columns = zip(predicted.T.numpy(), trained.T.numpy(), strict=True)
    return [spearmanr(x, y).statistic for x, y in columns]


HELD_OUT = Bernoulli(p=0.4, n_models=60, seed=9)


def test_the_score_is_scipys_rank_correlation_a_target() -> None:
    beta, responses = additive(HELD_OUT, noise=1.0)
    guess = beta + 0.5 * normal(*beta.shape, seed=1)
    found = lds(an_attribution(guess), responses)
    expected = by_scipy(responses.weights() @ guess, responses.outputs)
    assert found.per_target.value.tolist() == pytest.approx(expected, abs=1e-12)
    assert found.mean.value == pytest.approx(np.mean(expected), abs=1e-12)
    assert found.mean.low < found.mean.value < found.mean.high <= 1
    assert bool((found.per_target.low < found.per_target.value).all())
    assert (found.n_subsets, found.n_seeds, found.draws) == (60, 1, 1000)
    assert found.ceiling is None


small_numbers = st.lists(st.integers(-2, 2), min_size=7, max_size=7)


@given(x=small_numbers, y=small_numbers, seed=st.integers(0, 1000))
def test_a_draw_is_scipys_rank_correlation_of_the_resample(
    x: list[int], y: list[int], seed: int
) -> None:
    picks = torch.randint(7, (7,), generator=generator(seed))
    counts = torch.bincount(picks, minlength=7).double()[None]
    a, b = torch.tensor(x).double(), torch.tensor(y).double()
    found = rank_correlations([a[:, None]], b[:, None], counts).item()
    if len(set(a[picks].tolist())) == 1 or len(set(b[picks].tolist())) == 1:
        assert found == 0
    else:
        expected = spearmanr(a[picks], b[picks]).statistic
        assert found == pytest.approx(expected, abs=1e-12)


def test_scale_shift_unit_and_order_leave_the_score_and_sign_turns_it() -> None:
    beta, responses = additive(HELD_OUT, noise=1.0)
    mine = an_attribution(beta)
    found = lds(mine, responses).mean
    assert lds(mine.scaled(3.0), responses).mean == found
    assert lds(mine.in_unit("per_epsilon"), responses).mean == found
    bent = replace(responses, outputs=responses.outputs.exp())
    assert lds(mine, bent).mean == found
    turned = lds(mine.scaled(-1.0), responses).mean
    assert turned.value == pytest.approx(-found.value, abs=1e-12)
    assert turned.low == pytest.approx(-found.high, abs=1e-9)
    assert lds(mine, responses, seed=1).mean != found
    perfect = lds(mine, additive(HELD_OUT, noise=0.0)[1])
    assert perfect.mean.value == pytest.approx(1.0, abs=1e-12)


def test_replicates_are_averaged_and_bring_the_ceiling() -> None:
    design = Replicates(design=HELD_OUT, n_replicates=3)
    beta, responses = additive(design, noise=1.5)
    guess = beta + 0.5 * normal(*beta.shape, seed=1)
    found = lds(an_attribution(guess), responses)
    weights = HELD_OUT.weights(torch.arange(60), N_TRAIN)
    by_subset = responses.outputs.numpy().reshape(60, 3, N_TARGETS)
    expected = by_scipy(weights @ guess, torch.from_numpy(by_subset.mean(1)))
    assert found.per_target.value.tolist() == pytest.approx(expected, abs=1e-12)
    assert (found.n_subsets, found.n_seeds) == (60, 3)
    # Components of variance by numpy.
    seeds = by_subset.var(1, ddof=1).mean(0)
    subsets = by_subset.mean(1).var(0, ddof=1) - seeds / 3
    by_hand = [
        spearman_of_normal(ceiling(v, s, 3))
        for v, s in zip(subsets, seeds, strict=True)
    ]
    assert found.ceiling_per_target is not None
    assert found.ceiling_per_target.tolist() == pytest.approx(by_hand, abs=1e-12)
    assert found.ceiling is not None
    assert found.ceiling.value == pytest.approx(np.mean(by_hand))
    assert found.ceiling.low < found.ceiling.value < found.ceiling.high


@pytest.mark.parametrize("n_seeds", [2, 5])
def test_the_ceiling_is_what_the_truth_itself_reaches(n_seeds: int) -> None:
    # 200 targets and 300 subsets of N = 100 players: sums are normal to good
    # approximation. Both means have a standard error below .004: a tolerance of .02
    # is more than 3.5 sigma of their difference, false alarm below 5e-4.
    n_train, noise = 100, 4.0
    law = Bernoulli(p=0.5, n_models=300, seed=3)
    design = Replicates(design=law, n_replicates=n_seeds)
    beta = normal(n_train, 200, seed=4)
    weights = design.weights(torch.arange(design.n_models), n_train)
    outputs = weights @ beta + noise * normal(len(weights), 200, seed=5)
    found = lds(an_attribution(beta), responses_of(design, outputs, n_train=n_train))
    assert found.ceiling is not None
    truth = np.mean([
        spearman_of_normal(ceiling(variance, noise**2, n_seeds))
        for variance in (beta.square().sum(0) / 4).tolist()
    ])
    assert found.ceiling.value == pytest.approx(truth, abs=0.02)
    assert found.mean.value == pytest.approx(found.ceiling.value, abs=0.02)
    assert found.ceiling.low < truth < found.ceiling.high


def test_deterministic_training_has_the_ceiling_one() -> None:
    beta, responses = additive(HELD_OUT, noise=0.5)
    plain = replace(responses.description, deterministic=True)
    found = lds(an_attribution(beta), replace(responses, description=plain))
    assert found.ceiling == Interval.exact(1.0)


def test_pure_noise_has_a_ceiling_near_zero_and_never_nan() -> None:
    design = Replicates(design=HELD_OUT, n_replicates=2)
    outputs = normal(120, 50, seed=8)
    held_out = evaluation_of(responses_of(design, outputs))
    once = torch.ones(1, 60).double()
    found = noise_ceiling(held_out, once)
    # V is cut at 0 for about half of the targets, whose ceiling is then 0.
    assert 10 <= int((found == 0).sum()) <= 40
    assert bool(torch.isfinite(found).all())


@pytest.mark.parametrize("paired", [False, True])
def test_the_interval_covers_the_score_of_all_subsets(paired: bool) -> None:
    # The population score is that of 2^8 subsets, each with endless fresh noise: 256
    # subsets x 40 draws stand for it (sigma .004, a tenth of an interval). 200
    # studies of 60 subsets: coverage .95 has sigma .0154, and the band [.90, .995]
    # is 3.2 and 2.9 sigma wide: false alarm below 3e-3 a case.
    beta = normal(N_TRAIN, N_TARGETS, seed=50)
    guess = beta + 0.7 * normal(N_TRAIN, N_TARGETS, seed=51)
    everything = ((torch.arange(256)[:, None] >> torch.arange(N_TRAIN)) & 1).double()
    many = everything.repeat(40, 1)
    noisy = many @ beta + 1.2 * normal(len(many), N_TARGETS, seed=52)
    truth = np.mean(by_scipy(many @ guess, noisy))
    covered, n_studies = 0, 200
    for study in range(n_studies):
        design: Any = (
            ComplementaryPairs(n_pairs=30, seed=study)
            if paired
            else Bernoulli(p=0.5, n_models=60, seed=study)
        )
        weights = design.weights(torch.arange(60), N_TRAIN)
        outputs = weights @ beta + 1.2 * normal(60, N_TARGETS, seed=60_000 + study)
        found = lds(an_attribution(guess), responses_of(design, outputs)).mean
        covered += found.low <= truth <= found.high
    assert 0.90 <= covered / n_studies <= 0.995, covered / n_studies


def test_the_ceilings_interval_covers_it() -> None:
    # 200 studies of 60 subsets with two seeds: coverage .95 has sigma .0154; the band
    # [.895, 1] is 3.6 sigma below: false alarm 2e-4. Sums of 8 examples are normal
    # enough for the map to ranks: both sides use it.
    beta = normal(N_TRAIN, N_TARGETS, seed=50)
    truth = np.mean([
        spearman_of_normal(ceiling(variance, 1.5**2, 2))
        for variance in (beta.square().sum(0) / 4).tolist()
    ])
    covered, mean = 0, 0.0
    for study in range(200):
        law = Bernoulli(p=0.5, n_models=60, seed=study)
        design = Replicates(design=law, n_replicates=2)
        weights = design.weights(torch.arange(120), N_TRAIN)
        noise = 1.5 * normal(120, N_TARGETS, seed=70_000 + study)
        responses = responses_of(design, weights @ beta + noise)
        found = lds(an_attribution(beta), responses).ceiling
        assert found is not None
        covered += found.low <= truth <= found.high
        mean += found.value / 200
    assert covered / 200 >= 0.895, covered / 200
    assert mean == pytest.approx(truth, abs=0.01)


def test_a_table_has_paired_differences_to_its_reference() -> None:
    beta, responses = additive(HELD_OUT, noise=1.0)
    guess = beta + 0.6 * normal(*beta.shape, seed=1)
    table = lds_table(
        [("truth", an_attribution(beta)), ("guess", an_attribution(guess))], responses
    )
    truth, other = table.rows
    assert (truth.name, other.name, table.reference) == ("truth", "guess", "truth")
    assert truth.difference == Interval(0.0, 0.0, 0.0)
    assert truth.lds.mean == lds(an_attribution(beta), responses).mean
    assert other.lds.mean == lds(an_attribution(guess), responses).mean
    gap = other.lds.mean.value - truth.lds.mean.value
    assert other.difference.value == pytest.approx(gap, abs=1e-12)
    # Both share subsets and noise, so their difference is known better than either
    # (independent intervals would give the root of the sum of squares).
    width = other.difference.high - other.difference.low
    apart = math.hypot(*(r.lds.mean.high - r.lds.mean.low for r in table.rows))
    assert width < 0.8 * apart
    turned = lds_table(
        [("truth", an_attribution(beta)), ("guess", an_attribution(guess))],
        responses,
        reference="guess",
    )
    assert turned.rows[0].difference.value == pytest.approx(-gap, abs=1e-12)


def test_groups_are_players_and_examples_add_up_to_them() -> None:
    groups = (0, 0, 1, 1, 2, 2, 3, 3)
    design = Grouped(design=Bernoulli(p=0.5, n_models=50, seed=2), groups=groups)
    beta, responses = additive(design, noise=0.5)
    of_groups = torch.stack([beta[2 * g] + beta[2 * g + 1] for g in range(4)])
    players = replace(
        an_attribution(of_groups), train_labels=design.group_labels, n_train=4
    )
    found = lds(players, responses)
    expected = by_scipy(responses.weights() @ beta, responses.outputs)
    assert found.per_target.value.tolist() == pytest.approx(expected, abs=1e-12)
    assert lds(an_attribution(beta), responses).mean == found.mean


def test_a_model_that_diverged_leaves_with_its_whole_unit_and_is_counted() -> None:
    design = ComplementaryPairs(n_pairs=20, seed=2)
    beta, responses = additive(design, noise=0.5)
    outputs = responses.outputs.clone()
    outputs[7, 1] = math.inf
    broken = responses_of(design, outputs)
    found = lds(an_attribution(beta), broken)
    assert (found.n_subsets, found.n_diverged) == (38, 1)
    kept = torch.tensor([r for r in range(40) if r not in {6, 7}])
    expected = by_scipy((responses.weights() @ beta)[kept], outputs[kept])
    assert found.per_target.value.tolist() == pytest.approx(expected, abs=1e-12)


def test_units_of_a_design_move_as_one() -> None:
    for design, size in (
        (ComplementaryPairs(n_pairs=20, seed=2), 2),
        (DisjointBlocks(parts=4, n_blocks=10, seed=2), 4),
        (Bernoulli(p=0.5, n_models=40, seed=2), 1),
    ):
        _, responses = additive(design, noise=0.5)
        held_out = evaluation_of(responses)
        assert (held_out.unit_size, held_out.n_units) == (size, 40 // size)


def test_scores_that_predict_one_number_count_as_zero() -> None:
    beta, responses = additive(HELD_OUT, noise=0.5)
    beta[:, 1] = 0.0
    found = lds(an_attribution(beta), responses)
    assert found.n_constant == 1
    assert found.per_target.value[1] == 0
    # Equal scores on subsets of one size: sums differ by rounding only, which is no
    # ranking.
    sized = FixedSize(size=5, n_models=60, seed=1)
    _, others = additive(sized, noise=0.5)
    level = an_attribution(torch.full((N_TRAIN, N_TARGETS), 0.1).double())
    flat = lds(level, others)
    assert (flat.mean.value, flat.n_constant) == (0.0, N_TARGETS)


def test_sums_that_differ_by_rounding_alone_are_ties() -> None:
    # .1 + .2 is not .3 in floating point: as whole numbers the same sums tie.
    _, responses = additive(HELD_OUT, noise=0.5)
    whole = torch.arange(1, N_TRAIN + 1).double()[:, None].repeat(1, N_TARGETS)
    predicted = responses.weights() @ (whole / 10)
    assert len(predicted[:, 0].unique()) > len((responses.weights() @ whole).unique())
    in_tenths = lds(an_attribution(whole / 10), responses).mean
    assert in_tenths == lds(an_attribution(whole), responses).mean


def test_arrays_are_judged_in_the_attributions_order() -> None:
    design = Replicates(design=HELD_OUT, n_replicates=2)
    beta, responses = additive(design, noise=1.0)
    mine = an_attribution(beta)
    held_out = evaluation_of_arrays(
        responses.weights().numpy(),
        responses.outputs.numpy(),
        like=mine,
        n_replicates=2,
    )
    found, expected = lds(mine, held_out), lds(mine, responses)
    assert (found.mean, found.ceiling) == (expected.mean, expected.ceiling)


def test_a_thousand_targets_take_seconds() -> None:
    # Measured at 3 s on one core: the limit has room for a loaded machine.
    n_targets = 1000
    design = Bernoulli(p=0.5, n_models=200, seed=3)
    _, responses = additive(design, noise=1.0, n_targets=n_targets)
    before = time.process_time()
    lds(an_attribution(normal(N_TRAIN, n_targets, seed=1)), responses)
    assert time.process_time() - before < 15


def a_fit() -> tuple[Attribution, Responses]:
    _, responses = additive(HELD_OUT, noise=1.0)
    return fit_datamodel(responses), responses


MINE = an_attribution(normal(N_TRAIN, N_TARGETS, seed=0))


@pytest.mark.parametrize(
    ("attribution", "message"),
    [
        (
            replace(MINE, seeds=frozenset({9})),
            "must share no seeds, got experiment seed 9 in both",
        ),
        (
            an_attribution(MINE.scores, problem="another"),
            "same problem, got another and made-up",
        ),
        (an_attribution(MINE.scores, output="loss"), "same output, got loss and"),
        (
            an_attribution(MINE.scores, normalisation="count"),
            "same normalisation, got count and sum",
        ),
        (
            MINE.restricted(train=MINE.train_labels[:4]),
            r"same train labels, got 4 and 8: align them with \.restricted",
        ),
        (
            MINE.restricted(targets=MINE.target_labels[::-1]),
            "same target labels, got 'question 2' and 'question 0' at position 0",
        ),
    ],
)
def test_an_attribution_of_something_else_is_refused(
    attribution: Attribution, message: str
) -> None:
    _, responses = additive(HELD_OUT, noise=1.0)
    with pytest.raises(ValueError, match=message):
        lds(attribution, responses)


def test_arrays_from_elsewhere_leave_their_procedure_unsaid() -> None:
    _, responses = additive(HELD_OUT, noise=1.0)
    unsaid = an_attribution(MINE.scores, normalisation="unknown", step_policy="unknown")
    assert lds(unsaid, responses).mean == lds(MINE, responses).mean


def test_a_datamodel_is_not_judged_on_its_own_models() -> None:
    fitted, responses = a_fit()
    with pytest.raises(ValueError, match="models that made the scores cannot judge"):
        lds(fitted, responses)
    arrays = responses.weights().numpy(), responses.outputs.numpy()
    law = Bernoulli(p=0.4)
    from_arrays = fit_datamodel(*arrays, design=law)
    same = evaluation_of_arrays(*arrays, like=from_arrays, design=law)
    with pytest.raises(ValueError, match="must share no seeds"):
        lds(from_arrays, same)


class OneSubset(Bernoulli):
    """Masks that never vary."""

    def weights(self, rows: Tensor, n_train: int) -> Tensor:
        return torch.ones(len(rows), n_train, dtype=torch.float64)


def test_responses_that_tell_nothing_are_refused() -> None:
    beta, responses = additive(HELD_OUT, noise=1.0)
    mine = an_attribution(beta)
    constant = responses.outputs.clone()
    constant[:, 2] = 4.0
    with pytest.raises(ValueError, match=r"got a constant at 'question 2' \(1 such\)"):
        lds(mine, replace(responses, outputs=constant))
    same: SubsetDesign = OneSubset(p=0.4, n_models=60, seed=9)
    with pytest.raises(ValueError, match="masks must vary, got the same subset"):
        lds(mine, replace(responses, design=same))
    few = Bernoulli(p=0.4, n_models=3, seed=9)
    with pytest.raises(ValueError, match="at least 4 independent subsets, got 3"):
        lds(mine, additive(few, noise=1.0)[1])
    nudges = CoordinatePairs(at=0.5, steps=(0.1,), coordinates=(0,), n_seeds=4, seed=9)
    with pytest.raises(TypeError, match="design of random subsets, got Coord"):
        lds(mine, additive(nudges, noise=1.0)[1])
    with pytest.raises(ValueError, match="draws must be at least 1000, got 10"):
        lds(mine, responses, draws=10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": np.full((60, 8), 0.5)}, "masks must hold 0 and 1 only"),
        ({"masks": np.ones((60, 7))}, r"must have shapes \(60, 8\) and \(60, 3\)"),
        ({"outputs": np.ones((60, 2))}, r"got \(60, 8\) and \(60, 2\)"),
        ({"n_replicates": 2}, "masks must repeat 2 times in consecutive rows"),
        ({"n_replicates": 7}, "multiple of 7 rows for what was stated of them, got 60"),
        ({"n_replicates": 0}, "n_replicates must be at least 1, got 0"),
    ],
)
def test_arrays_that_contradict_what_is_said_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    _, responses = additive(HELD_OUT, noise=1.0)
    given: dict[str, Any] = {
        "masks": responses.weights().numpy(),
        "outputs": responses.outputs.numpy(),
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        evaluation_of_arrays(
            given.pop("masks"), given.pop("outputs"), like=MINE, **given
        )


def test_names_on_a_table_are_distinct_and_the_reference_is_one() -> None:
    _, responses = additive(HELD_OUT, noise=1.0)
    with pytest.raises(ValueError, match="distinct names"):
        lds_table([("a", MINE), ("a", MINE)], responses)
    with pytest.raises(ValueError, match="distinct names"):
        lds_table([], responses)
    with pytest.raises(ValueError, match="reference must be one of a; got 'b'"):
        lds_table([("a", MINE)], responses, reference="b")


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (ComplementaryPairs(n_pairs=20), "consecutive rows are no complements"),
        (Bernoulli(p=0.1), "p = 0.1 was stated, but their share of ones is 0"),
        (AntitheticPairs(p=0.45, n_pairs=20), "rows have an example in both"),
        (AntitheticPairs(p=0.55, n_pairs=20), "rows have an example in neither"),
        (FixedSize(size=4), "size 4 was stated, but rows hold"),
    ],
)
def test_a_design_that_the_masks_contradict_is_refused(
    design: Any, message: str
) -> None:
    masks = Bernoulli(p=0.5, seed=1).weights(torch.arange(40), 8)
    outputs = normal(40, 2, seed=1)
    with pytest.raises(ValueError, match=message):
        evaluation_of_arrays(masks, outputs, design=design)
    twice = masks.repeat_interleave(2, 0)
    with pytest.raises(ValueError, match=message):
        evaluation_of_arrays(
            twice, normal(80, 2, seed=2), design=design, n_replicates=2
        )

"""What claims about networks compute, against other ways to the same numbers."""

import pytest
import torch
from samples import an_attribution, normal
from scipy.stats import spearmanr
from torch import Tensor

from dmtheory.agreement.resampling import interval_of
from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of_arrays
from dmtheory.designs.leave_out import LeaveKOut
from dmtheory.designs.seeds import Purpose, model_seeds, permutation
from validation.claims import (
    average_not_instance,
    taylor_corollary,
    why_datamodels_win,
)
from validation.claims.average_not_instance import _gain, _limit, _same_less_other
from validation.claims.taylor_corollary import _slope_draws
from validation.claims.why_datamodels_win import _gain_of_averaging, _of_random
from validation.laboratory import Laboratory
from validation.made_up.shared_seeds import SharedSeeds
from validation.problems import THOROUGH, resized


def outputs_on(masks: Tensor, outputs: Tensor) -> SubsetOutputs:
    return evaluation_of_arrays(masks, outputs)


def mean_spearman(masks: Tensor, scores: Tensor, outputs: Tensor) -> float:
    predicted = masks @ scores
    pairs = zip(predicted.T.tolist(), outputs.T.tolist(), strict=True)
    return sum(spearmanr(x, y).statistic for x, y in pairs) / scores.shape[1]


def test_random_scores_are_permutations_without_the_mean() -> None:
    """Coefficients that share a sign predict by size, whoever they belong to."""
    masks = (normal(300, 40, seed=1) > 0).double()
    truth = 1 + 0.3 * normal(40, 2, seed=2)
    outputs = masks @ truth
    datamodel = an_attribution(truth)
    found = _of_random(datamodel, outputs_on(masks, outputs))
    orders = [
        permutation(0, Purpose.SPLIT, place, torch.arange(40))
        for place in range(why_datamodels_win.PERMUTATIONS)
    ]
    centred = truth - truth.mean(0)
    brute = [mean_spearman(masks, centred[order], outputs) for order in orders]
    assert found.value == pytest.approx(sum(brute) / len(brute), abs=1e-12)
    plain = [mean_spearman(masks, truth[order], outputs) for order in orders[:5]]
    assert min(plain) > 0.5
    low, high = why_datamodels_win.RANDOM
    assert low < found.low < found.high < high


def test_the_interval_of_random_scores_is_over_subsets_and_permutations() -> None:
    """Over eight samples of subsets the scores spread by no more than intervals say.

    Permutations are the same in each, so the spread is that of subsets alone; of eight
    it is known to a quarter, and twice what is stated is four times that.
    """
    truth = normal(12, 2, seed=2)
    found = []
    for seed in range(8):
        masks = (normal(200, 12, seed=10 + seed) > 0).double()
        outputs = masks @ truth + normal(200, 2, seed=30 + seed)
        found.append(_of_random(an_attribution(truth), outputs_on(masks, outputs)))
    values = torch.tensor([one.value for one in found])
    stated = torch.tensor([(one.high - one.low) / 3.92 for one in found]).mean()
    assert values.std() < 2 * stated


def test_averaging_is_held_against_the_mean_of_every_seed() -> None:
    masks = (normal(80, 10, seed=1) > 0).double()
    units = normal(10, 2, seed=2) + 0.8 * normal(4, 10, 2, seed=3)
    outputs = masks @ units.mean(0) + normal(80, 2, seed=4)
    averaged = an_attribution(units.mean(0), units=units)
    found = _gain_of_averaging(averaged, outputs_on(masks, outputs))
    each = [mean_spearman(masks, unit, outputs) for unit in units]
    gain = mean_spearman(masks, units.mean(0), outputs) - sum(each) / 4
    assert found.value == pytest.approx(gain, abs=1e-12)
    assert 0 < found.low < found.value < found.high


def seed_by_seed(
    n_seeds: int, *, noise: float, n: int = 80, n_train: int = 12
) -> tuple[Tensor, SubsetOutputs]:
    """Return derivatives, and outputs of models that follow theirs, each its own."""
    units = normal(n_train, 2, seed=2) + noise * normal(n_seeds, n_train, 2, seed=3)
    masks = (normal(n, n_train, seed=1) > 0).double()
    outputs = torch.einsum("si,uit->sut", masks, units).flatten(0, 1)
    repeated = masks.repeat_interleave(n_seeds, 0)
    return units, evaluation_of_arrays(repeated, outputs, n_replicates=n_seeds)


def test_averages_are_judged_on_outputs_of_other_seeds() -> None:
    """Half on half, and back; with shared seeds the gain would be larger."""
    units, outputs = seed_by_seed(6, noise=1.5)
    found = _gain(units, outputs)
    masks, trained = outputs.weights, outputs.outputs

    def gain(ours: slice, theirs: slice) -> float:
        response = trained[:, theirs].mean(1)
        each = [mean_spearman(masks, unit, response) for unit in units[ours]]
        return mean_spearman(masks, units[ours].mean(0), response) - sum(each) / 3

    first, second = slice(0, 3), slice(3, 6)
    brute = (gain(first, second) + gain(second, first)) / 2
    assert found.value == pytest.approx(brute, abs=1e-12)
    assert found.value < gain(first, first) - 0.05
    assert set(found.sources) == {"first seeds", "second seeds", "subsets"}


def test_every_seed_is_held_against_itself_and_all_others() -> None:
    units, outputs = seed_by_seed(4, noise=1.0)
    found = _same_less_other(units, outputs)

    def brute(seeds: list[int]) -> float:
        scores = {
            (i, j): mean_spearman(outputs.weights, units[i], outputs.outputs[:, j])
            for i in seeds
            for j in seeds
        }
        same = [scores[i, i] for i in seeds]
        others = [value for (i, j), value in scores.items() if i != j]
        return sum(same) / len(same) - sum(others) / len(others)

    every = list(range(4))
    assert found.value == pytest.approx(brute(every), abs=1e-12)
    left = torch.tensor([brute([i for i in every if i != k]) for k in every])
    pseudo = 4 * found.value - 3 * left.double()
    torch.testing.assert_close(found.sources["seeds"], pseudo, atol=1e-6, rtol=0.0)
    interval = found.interval()
    assert 0 < interval.low < interval.value < interval.high


def test_what_more_seeds_would_reach_is_free_of_their_noise() -> None:
    """A truth followed to rank 1: an average of eight on eight reads some .8."""
    units, outputs = seed_by_seed(16, noise=1.5, n=200, n_train=60)
    found = _limit(units, outputs)
    plain = mean_spearman(
        outputs.weights, units[:8].mean(0), outputs.outputs[:, 8:].mean(1)
    )
    interval = found.interval()
    assert plain < 0.85 < interval.low < 1 < interval.high
    # Examples permuted are not noise of seeds: they stay.
    wrong = _limit(units[:, torch.arange(60).roll(1)], outputs)
    assert wrong.interval().high < 0.76


def removals(effects: Tensor, *, k: int, n: int) -> SubsetOutputs:
    """Return outputs without k examples: effects of each seed, and its own level."""
    design = LeaveKOut(k=k, n_models=n, seed=3)
    seeds = model_seeds(3, torch.arange(len(effects))).tolist()
    shared = SharedSeeds(subsets=design, training_seeds=tuple(seeds))
    weights = shared.weights(torch.arange(shared.n_models), effects.shape[1])
    levels = 5 * normal(len(effects), 1, seed=9)
    each = torch.arange(shared.n_models) % len(effects)
    outputs = torch.einsum("mi,mit->mt", weights, effects[each]) + levels[each]
    return evaluation_of_arrays(
        weights, outputs, design=design, n_replicates=len(effects)
    )


def test_the_slope_of_removals_is_free_of_the_derivatives_noise() -> None:
    """Truth 1.2 at a derivative with half as much noise as signal: naive is .8.

    The interval contains the truth and not the naive slope; seeds' own levels, which
    are larger than all effects, do not move it.
    """
    truth = normal(40, 60, seed=1)
    seeds = 1.2 * truth + 0.3 * normal(6, 40, 60, seed=2)
    units = truth + 15**0.5 * normal(30, 40, 60, seed=4)
    derivative = an_attribution(units.mean(0), units=units)
    found = interval_of(_slope_draws(derivative, removals(seeds, k=2, n=100)))
    assert 0.85 < found.low < 1.2 < found.high < 1.55


def test_the_slope_of_removals_without_noise_is_exact() -> None:
    truth = normal(12, 3, seed=1)
    outputs = removals(1.1 * truth[None], k=2, n=40)
    found = interval_of(_slope_draws(an_attribution(truth), outputs))
    assert found.value == pytest.approx(1.1, abs=1e-12)
    assert found.low == pytest.approx(1.1, abs=1e-12)


def test_removals_and_lowered_weights_are_of_the_same_sets_and_seeds(
    laboratory: Laboratory,
) -> None:
    """Least squares: exact in g and leverage, one example at a time and many."""
    name = "diabetes-sum"
    claim = taylor_corollary.CLAIM
    entry = next(e for e in claim.entries if e.problem == name)
    evidence = claim.measure(laboratory, entry)
    removed, lowered = (evidence.held_out[key] for key in ("0.01", "lowered"))
    torch.testing.assert_close(1 - lowered.weights, 0.05 * (1 - removed.weights))
    parts = {part.name: part for part in claim.judge(evidence, entry)}
    slope = parts["slope, 1 % lowered by a twentieth"].interval
    whole = parts["slope, 1 % removed"].interval
    # Excess t h/(1 - t h) of the leverage: a twentieth's is 1/20 of that of the whole.
    assert 0.03 * (whole.value - 1) < slope.value - 1 < 0.07 * (whole.value - 1)
    assert parts["whole removals exceed it"].passed
    statement = parts["whole removals exceed it"].statement
    assert "in [.8, 1.2]: 0.01, 0.05" in statement


def test_sizes_of_the_network_take_as_many_steps() -> None:
    steps = set()
    for n_train in (100, 150, 300):
        problem = resized("cancer-network-sum", n_train)
        training = problem.training  # type: ignore[attr-defined]
        steps.add(training.epochs * -(-n_train // training.batch_size))
    assert steps == {120}
    full = THOROUGH["cancer-network-sum"].make()
    assert resized("cancer-network-sum", 300).description == full.description
    with pytest.raises(ValueError, match="comes in sizes, got 'digits-sum'"):
        resized("digits-sum", 100)


def test_the_first_of_an_evaluation_are_its_first_models(
    laboratory: Laboratory,
) -> None:
    every = laboratory.evaluation("diabetes-sum")
    few = laboratory.evaluation("diabetes-sum", 120)
    assert few.n_models == 120
    torch.testing.assert_close(few.outputs, every.outputs[:120])
    torch.testing.assert_close(few.weights(), every.weights()[:120])


def test_every_problem_of_the_average_has_its_seeds() -> None:
    claim = average_not_instance.CLAIM
    assert {e.problem for e in claim.entries} == set(average_not_instance.SEEDS)
    # Of ten or more each half, as the claim says.
    assert min(average_not_instance.SEEDS.values()) >= 20


def test_every_network_of_removals_has_its_seeds() -> None:
    claim = taylor_corollary.CLAIM
    networks = {e.problem for e in claim.entries if e.scale == "M"}
    assert networks == set(taylor_corollary.REMOVAL_SEEDS)
    # First order's own slope is inside, and a derivative off by 1.25 outside.
    low, high = taylor_corollary.FIRST_ORDER
    assert 1 / 1.25 < low < 1 < high < 1.25

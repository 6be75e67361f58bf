"""What claims about networks compute, against other ways to the same numbers."""

import pytest
import torch
from samples import an_attribution, normal
from scipy.stats import spearmanr
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of_arrays
from dmtheory.designs.leave_out import LeaveKOut
from dmtheory.designs.seeds import Purpose, model_seeds, permutation
from validation.claims import (
    average_not_instance,
    taylor_corollary,
    why_datamodels_win,
)
from validation.claims.average_not_instance import _over_seeds
from validation.claims.taylor_corollary import _difference, _slope
from validation.claims.why_datamodels_win import _gain_of_averaging, _of_random
from validation.laboratory import Laboratory
from validation.problems import THOROUGH, resized
from validation.shared_seeds import SharedSeeds


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


def test_seeds_are_drawn_anew_beside_subsets() -> None:
    """Four seeds of 0, 1, 2 and 3: their mean varies by sqrt(5/4)/2 over draws.

    Its share known from 4,000 draws is 1.1 %; .05 is more than four times that.
    """
    values = torch.arange(4.0).double()[:, None].expand(4, 4001)
    found = _over_seeds(values)
    assert found[0] == 1.5
    assert found[1:].std() == pytest.approx((5 / 4) ** 0.5 / 2, rel=0.05)
    # Both sides of a difference are drawn alike.
    torch.testing.assert_close(_over_seeds(values + 0.1) - found, found * 0 + 0.1)


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
    found = _slope(derivative, removals(seeds, k=2, n=100))
    assert 0.85 < found.low < 1.2 < found.high < 1.55


def test_the_slope_of_removals_without_noise_is_exact() -> None:
    truth = normal(12, 3, seed=1)
    found = _slope(an_attribution(truth), removals(1.1 * truth[None], k=2, n=40))
    assert found.value == pytest.approx(1.1, abs=1e-12)
    assert found.low == pytest.approx(1.1, abs=1e-12)


def test_intervals_of_independent_numbers_differ_by_the_root_of_squares() -> None:
    found = _difference(Interval(5.0, 4.7, 5.6), Interval(2.0, 1.2, 2.4))
    assert found.value == 3.0
    assert found.low == pytest.approx(3 - (0.3**2 + 0.4**2) ** 0.5)
    assert found.high == pytest.approx(3 + (0.6**2 + 0.8**2) ** 0.5)


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


def test_every_problem_of_the_average_has_its_seeds_and_its_floor() -> None:
    claim = average_not_instance.CLAIM
    problems = {e.problem for e in claim.entries}
    assert problems == set(average_not_instance.SEEDS)
    assert problems == set(average_not_instance.GOOD)


def test_every_removal_claim_has_its_tolerance() -> None:
    claim = taylor_corollary.CLAIM
    assert {e.problem for e in claim.entries} == set(taylor_corollary.SMALL)
    # A slope at the middle passes, and fails where the derivative is off by 1.25.
    for low, high in taylor_corollary.SMALL.values():
        assert high / low < 1.25**2

"""Budgets: unbiased parts of the variance, and predictions that simulation confirms."""

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from samples import normal
from torch import Tensor

from dmtheory import Responses, fit_datamodel, lds, models_needed
from dmtheory.agreement.subset_outputs import evaluation_of_arrays
from dmtheory.datamodels.inference.budget import (
    Budget,
    Correlation,
    Score,
    StandardError,
)
from dmtheory.datamodels.inference.variances import variances_of
from dmtheory.designs import (
    AntitheticPairs,
    Bernoulli,
    ComplementaryPairs,
    FixedSize,
    Replicates,
)
from dmtheory.identity import numbered
from dmtheory.problems import Description
from dmtheory.theory import noise_laws

N_TRAIN = 60


def coefficients(n_targets: int, *, linear: Any = 1.0, p: float = 0.5) -> Tensor:
    """Return coefficients with that variance of the linear part, a target."""
    beta = normal(N_TRAIN, n_targets, seed=50)
    scale = torch.as_tensor(linear, dtype=torch.float64).sqrt() / math.sqrt(p * (1 - p))
    return beta / beta.norm(dim=0) * scale


def outputs_of(design: Any, beta: Tensor, *, noise: float, seed: int) -> Any:
    """Return 3 + x'beta + noise of a design as an evaluation reads it."""
    x = design.weights(torch.arange(design.n_models), N_TRAIN)
    y = 3 + x @ beta + math.sqrt(noise) * normal(len(x), beta.shape[1], seed=seed)
    return x, y


DESIGNS = {
    "fewer models than examples": lambda s: Bernoulli(p=0.5, n_models=25, seed=s),
    "more models than examples": lambda s: Bernoulli(p=0.3, n_models=160, seed=s),
    "one size": lambda s: FixedSize(size=20, n_models=40, seed=s),
    "few pairs": lambda s: ComplementaryPairs(n_pairs=25, seed=s),
    "many pairs": lambda s: ComplementaryPairs(n_pairs=150, seed=s),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_parts_of_the_variance_are_without_bias(name: str) -> None:
    # 300 studies of 10 targets. Under each design the linear part is its own: 1 for
    # independent masks, less along the total for masks of one size. The mean's sigma
    # is measured over studies; 4 sigma, false alarm 6e-5 a number.
    beta, noise = coefficients(10, p=0.5), 1.5
    found: dict[str, list[float]] = {"linear": [], "noise": [], "total": []}
    for study in range(300):
        design: Any = DESIGNS[name](study)
        x, y = outputs_of(design, beta, noise=noise, seed=1000 + study)
        held = evaluation_of_arrays(x, y, design=design)
        parts = variances_of(held)
        found["linear"].append(parts.parts.linear.mean().item())
        found["noise"].append(parts.parts.noise.mean().item())
        found["total"].append(parts.total.mean().item())
    covariance = design.covariance(N_TRAIN)
    linear = ((covariance @ beta) * beta).sum(0).mean().item()
    left = noise / 2 if "pairs" in name else noise
    truth = {"linear": linear, "noise": left, "total": linear + noise}
    for key, value in truth.items():
        sigma = np.std(found[key]) / math.sqrt(300)
        assert np.mean(found[key]) == pytest.approx(value, abs=4 * sigma), (key, sigma)
        assert sigma < 0.05


def test_the_linear_part_is_a_sum_over_pairs_of_models() -> None:
    design = Bernoulli(p=0.3, n_models=12, seed=1)
    x, y = outputs_of(design, coefficients(2), noise=1.0, seed=1)
    found = variances_of(evaluation_of_arrays(x, y, design=design))
    centred = y - y.mean(0)
    pairs = combinations(range(12), 2)
    total = torch.zeros(2).double()
    for s, t in pairs:
        total += 2 * centred[s] * centred[t] * ((x[s] - 0.3) @ (x[t] - 0.3)) / 0.21
    # (m - 1)(m^2 - 2m + 2)/m at m = 12.
    torch.testing.assert_close(found.parts.linear, total / (11 * 122 / 12))


def true_models(
    reached: Any, goal: float, *, falls: bool = False, per_row: int = 1
) -> int:
    """Return the smallest number of rows that meets the goal, by plain search."""
    rows = 1
    while (reached(rows) > goal) if falls else (reached(rows) < goal):
        rows += 1
    return per_row * rows


# Two kinds of targets in one pilot, so that their mean is of a curved function.
LINEAR = torch.tensor([0.5] * 3 + [1.5] * 3).double()
GOALS: list[tuple[str, str, Any]] = [
    ("fewer", "correlation", Correlation(0.85)),
    ("fewer", "score", Score(0.5)),
    ("more", "error", StandardError(0.15)),
    ("pairs", "correlation", Correlation(0.9)),
]
PILOTS = {
    "fewer": lambda s: Bernoulli(p=0.5, n_models=45, seed=s),
    "more": lambda s: Bernoulli(p=0.5, n_models=180, seed=s),
    "pairs": lambda s: ComplementaryPairs(n_pairs=60, seed=s),
}


@pytest.mark.parametrize(("pilot", "what", "goal"), GOALS)
def test_the_interval_covers_the_number_that_the_law_of_the_truth_names(
    pilot: str, what: str, goal: Any
) -> None:
    # 80 studies: at the coverage .86 to .98 that the docstring states, sigma is at most
    # .039; the floor .75 is 2.8 sigma below its lower end: false alarm 3e-3.
    beta = coefficients(6, linear=LINEAR)
    rest = 0.5 if pilot == "pairs" else 1.0
    law = (
        noise_laws.pairs_correlation if pilot == "pairs" else noise_laws.ols_correlation
    )

    def mean_correlation(rows: int) -> float:
        return float(np.mean([law(v, rest, N_TRAIN, rows) for v in (0.5, 1.5)]))

    def mean_score(rows: int) -> float:
        return float(
            np.mean([
                noise_laws.expected_lds(law(v, 1.0, N_TRAIN, rows), v, 0.0, 1.0, 1)
                for v in (0.5, 1.5)
            ])
        )

    def error(rows: int) -> float:
        return 2 / math.sqrt(rows - 62) if rows > 62 else math.inf

    reached = {"correlation": mean_correlation, "score": mean_score, "error": error}
    truth = true_models(
        reached[what],
        goal.value,
        falls=what == "error",
        per_row=2 if pilot == "pairs" else 1,
    )
    covered, values = 0, []
    for study in range(80):
        design: Any = PILOTS[pilot](study)
        x, y = outputs_of(design, beta, noise=1.0, seed=2000 + study)
        found = models_needed(evaluation_of_arrays(x, y, design=design), goal)
        covered += found.models.low <= truth <= found.models.high
        values.append(found.models.value)
    assert covered / 80 > 0.75, (covered / 80, truth)
    # The typical prediction is close, whatever the spread of single pilots.
    assert np.median(values) == pytest.approx(truth, rel=0.15)


def test_a_weak_targets_own_error_is_in_the_interval() -> None:
    # One target of six is hardly linear, and the mean hangs on it; the pilot knows
    # every share well. 80 studies at coverage .95: sigma .024; the floor .86 is 3.7
    # sigma below. Were targets to move in common alone, .54 would be covered.
    linear = torch.tensor([0.15] + [4.0] * 5).double()
    beta = coefficients(6, linear=linear)

    def reached(rows: int) -> float:
        laws = [
            noise_laws.ols_correlation(v, 1.0, N_TRAIN, rows) for v in linear.tolist()
        ]
        return float(np.mean(laws))

    truth, covered = true_models(reached, 0.9), 0
    for study in range(80):
        design = Bernoulli(p=0.5, n_models=240, seed=study)
        x, y = outputs_of(design, beta, noise=1.0, seed=5000 + study)
        held = evaluation_of_arrays(x, y, design=design)
        found = models_needed(held, Correlation(0.9)).models
        covered += found.low <= truth <= found.high
    assert covered / 80 > 0.86, (covered / 80, truth)


def responses_of(design: Any, outputs: Tensor, **changes: Any) -> Responses:
    return Responses(
        outputs=outputs,
        design=design,
        description=Description(**{
            "name": "made-up",
            "digest": "made-up",
            "output": "margin",
            "normalisation": "sum",
            "step_policy": "fixed",
            "train_labels": numbered("row", N_TRAIN),
            "target_labels": numbered("question", outputs.shape[1]),
            **changes,
        }),
        diverged=~torch.isfinite(outputs).all(1),
    )


def curved(design: Any, beta: Tensor, *, noise: float, seed: int) -> Responses:
    """Return x'beta with an additional product of two examples, of variance .3."""
    x, y = outputs_of(design, beta, noise=noise, seed=seed)
    signs = 2 * x - 1
    return responses_of(design, y + math.sqrt(0.3) * signs[:, :1] * signs[:, 1:2])


@pytest.mark.parametrize("seeds", [1, 4])
def test_training_as_many_as_it_says_reaches_the_score(seeds: int) -> None:
    # A pilot of 150 subsets with two seeds says how many models of its kind reach a
    # score of .6 on new subsets with R seeds. So many are then trained, fitted and
    # scored on 1,500 new subsets, 25 targets: the score's own sigma is below .01 and
    # the pilot's error of about a tenth in the number moves it by .012 at this point
    # of the curve: .05 is 3 sigma, false alarm 3e-3, at fixed seeds.
    beta, noise, goal = coefficients(25), 1.2, Score(0.6, n_seeds=seeds)
    law = Bernoulli(p=0.5, n_models=150, seed=1)
    pilot = Replicates(design=law, n_replicates=2)
    found = models_needed(curved(pilot, beta, noise=noise, seed=3), goal)
    assert found.n_pilot == 300
    assert found.reachable
    subsets = round(found.models.value / 2)
    run = Replicates(design=Bernoulli(p=0.5, n_models=subsets, seed=2), n_replicates=2)
    fitted = fit_datamodel(curved(run, beta, noise=noise, seed=4))
    held_out = Bernoulli(p=0.5, n_models=1500, seed=5)
    new: Any = (
        Replicates(design=held_out, n_replicates=seeds) if seeds > 1 else held_out
    )
    reached = lds(fitted, curved(new, beta, noise=noise, seed=6)).mean.value
    assert reached == pytest.approx(goal.value, abs=0.05), str(found)


def test_what_the_linear_bound_forbids_is_said_with_the_bound() -> None:
    # L = 1, curvature .3 and noise 1.2: one seed allows 6/pi asin(sqrt(1/2.5)/2).
    beta = coefficients(25)
    pilot = curved(Bernoulli(p=0.5, n_models=300, seed=1), beta, noise=1.2, seed=3)
    bound = noise_laws.spearman_of_normal(math.sqrt(1 / 2.5))
    found = models_needed(pilot, Score(0.8))
    assert not found.reachable
    assert found.models.value == math.inf
    assert found.more.value == math.inf
    assert found.bound.low < bound < found.bound.high
    assert str(found).startswith("unreachable: at most 0.")
    within = models_needed(pilot, Score(0.5))
    assert within.reachable
    assert within.bound == found.bound
    assert within.linear_share.low < 1 / 2.5 < within.linear_share.high
    assert "more than the pilot's" in str(within)


def test_more_counts_from_the_pilot_and_targets_have_numbers_of_their_own() -> None:
    beta = coefficients(2, linear=torch.tensor([0.2, 5.0]))
    design = Bernoulli(p=0.5, n_models=400, seed=1)
    pilot = responses_of(design, outputs_of(design, beta, noise=1.0, seed=2)[1])
    found = models_needed(pilot, Correlation(0.9))
    assert found.more.value == max(found.models.value - 400, 0)
    weak, strong = found.per_target.value.tolist()
    assert strong < found.models.value < weak
    assert bool((found.per_target.low <= found.per_target.value).all())
    assert bool((found.per_target.value <= found.per_target.high).all())
    easy = models_needed(pilot, Correlation(0.3))
    assert easy.more.value == 0


def test_a_better_estimator_needs_fewer() -> None:
    design = Bernoulli(p=0.5, n_models=50, seed=1)
    x, y = outputs_of(design, coefficients(10), noise=1.0, seed=2)
    pilot = evaluation_of_arrays(x, y, design=design)

    def needed(law: Any) -> float:
        return models_needed(pilot, Correlation(0.7), law=law).models.value

    ridge = needed(noise_laws.ridge_law)
    assert ridge < needed(noise_laws.ols_law) == needed(None)
    assert ridge < needed(noise_laws.difference_of_means_law)


def test_scale_and_level_of_outputs_change_nothing_but_errors() -> None:
    design = Bernoulli(p=0.5, n_models=50, seed=1)
    x, y = outputs_of(design, coefficients(5), noise=1.0, seed=2)

    def needed(goal: Any, outputs: Tensor) -> Budget:
        return models_needed(evaluation_of_arrays(x, outputs, design=design), goal)

    assert (
        needed(Correlation(0.8), y).models
        == needed(Correlation(0.8), 1e-6 * y + 7).models
    )
    plain = needed(StandardError(0.2), y).models
    small = needed(StandardError(0.2e-6), 1e-6 * y).models
    assert small.value == pytest.approx(plain.value, abs=1)


def test_what_a_pilot_cannot_tell_is_refused() -> None:
    design = Bernoulli(p=0.5, n_models=50, seed=1)
    x, y = outputs_of(design, coefficients(2), noise=1.0, seed=2)
    pilot = evaluation_of_arrays(x, y, design=design)
    with pytest.raises(ValueError, match="must have replicates to tell a score of 3"):
        models_needed(pilot, Score(0.5, n_seeds=3))
    with pytest.raises(ValueError, match="Correlation or Score for ridge"):
        models_needed(pilot, StandardError(0.1), law=noise_laws.ridge_law)
    with pytest.raises(TypeError, match="design must say how the masks were drawn"):
        models_needed(evaluation_of_arrays(x, y), Correlation(0.5))
    antithetic = AntitheticPairs(p=0.3, n_pairs=25)
    with pytest.raises(TypeError, match="independent rows or complementary pairs"):
        opposite = antithetic.weights(torch.arange(50), x.shape[1])
        pilot = evaluation_of_arrays(opposite, y, design=antithetic)
        models_needed(pilot, Correlation(0.5))
    for goal in (Correlation, Score):
        with pytest.raises(ValueError, match=r"value must lie in \(0, 1\), got 1"):
            goal(1.0)
    with pytest.raises(ValueError, match="value must be finite and > 0"):
        StandardError(0.0)
    # Without randomness any number of seeds is known.
    known = responses_of(design, y, deterministic=True)
    assert models_needed(known, Score(0.3, n_seeds=3)).reachable

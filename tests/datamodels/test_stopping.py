"""The stopping rule against closed forms: never far too early, never far too late."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from samples import a_description, normal, responses_of
from torch import Tensor

from dmtheory import Responses, collect, fit_datamodel
from dmtheory.agreement.subset_outputs import evaluation_of
from dmtheory.datamodels.inference.forecast import Correlation, Score
from dmtheory.datamodels.inference.stopping import (
    collect_until,
    look_at,
    stop_at,
    stopping_sizes,
)
from dmtheory.datamodels.inference.variances import variances_of
from dmtheory.designs import Bernoulli, ComplementaryPairs
from dmtheory.theory.noise_laws import (
    expected_lds,
    ols_law,
    pairs_correlation,
    pairs_law,
    ridge_law,
)
from validation.made_up.noisy_sum import NoisySum

N_TRAIN, LINEAR, NOISE = 40, (0.5, 1.0, 1.0, 1.5), 1.5
SIZES = stopping_sizes(N_TRAIN, most=1200, least=60, growth=1.25, law=pairs_law)


def study(seed: int) -> tuple[Tensor, Any]:
    """Return coefficients, and the first so many responses of their noisy sums.

    Var x'beta = |beta|^2/4 = L; noise is fresh at every model, and pairs share an
    effect of their seed that differences are free of.
    """
    beta = normal(N_TRAIN, len(LINEAR), seed=seed)
    beta = beta / beta.norm(dim=0) * 2 * torch.tensor(LINEAR).double().sqrt()
    fresh = normal(SIZES[-1], len(LINEAR), seed=10_000 + seed)
    common = normal(SIZES[-1] // 2, 1, seed=20_000 + seed).repeat_interleave(2, 0)

    def first(n_models: int) -> Responses:
        design = ComplementaryPairs(n_pairs=n_models // 2, seed=seed)
        x = design.weights(torch.arange(n_models), N_TRAIN)
        noise = math.sqrt(NOISE / 2) * (fresh + common)[:n_models]
        return responses_of(
            design, 3 + x @ beta + noise, a_description(N_TRAIN, len(LINEAR))
        )

    return beta, first


def truth(n_models: int, kind: type) -> float:
    """Return the mean that the law of the true variances foretells.

    Half a difference has noise NOISE/4: the common half of the noise cancels.
    """
    found = []
    for linear in LINEAR:
        r = pairs_correlation(linear, NOISE / 4, N_TRAIN, n_models // 2)
        score = expected_lds(r, linear, 0.0, NOISE, 1)
        found.append(score if kind is Score else r)
    return sum(found) / len(found)


def realised(beta: Tensor, responses: Responses) -> float:
    """Return the score of the fit itself on new models, for normal pairs."""
    fitted = fit_datamodel(responses).scores
    spread = (beta.square().sum(0) + 4 * NOISE).sqrt()
    pearson = (fitted * beta).sum(0) / (fitted.norm(dim=0) * spread)
    return (6 / math.pi * torch.asin(pearson / 2)).mean().item()


GOAL = 0.5


# Just beyond looks at 296 and 150 trainings, where a rule without a limit would stop.
@pytest.mark.parametrize(
    ("kind", "needed", "latest"), [(Correlation, 298, 1.8), (Score, 152, 5.0)]
)
def test_it_stops_short_as_seldom_as_it_says_and_never_far_too_late(
    kind: type, needed: int, latest: float
) -> None:
    """24 studies. At the stated .05 more than 5 stop short once in 600 times.

    A rule without a limit stops short in half of them; one that takes models for pairs
    in all. A score grows little near its bound: being sure of it takes trainings, but
    hardly exceeds it.
    """
    goal = kind(truth(needed, kind))
    stops, scores = [], []
    for seed in range(24):
        beta, first = study(seed)
        found = stop_at(first, SIZES, goal)
        assert found.reached
        stops.append(found.responses.n_models)
        scores.append(realised(beta, found.responses))
    assert sum(stop < needed for stop in stops) <= 5
    assert max(stops) <= latest * needed
    assert truth(max(stops), kind) < goal.value + 0.1
    # What the fits themselves reach, beside what the law says of their sizes; the
    # mean's error is below .003.
    foretold = sum(truth(stop, Score) for stop in stops) / 24
    assert sum(scores) / 24 == pytest.approx(foretold, abs=0.01)


def test_looks_share_the_level() -> None:
    _, first = study(0)
    found = stop_at(first, SIZES, Score(GOAL), confidence=0.9)
    for look in found.looks:
        responses = first(look.n_models)
        assert look == look_at(responses, Score(GOAL), level=0.1 / len(SIZES))
        alone = look_at(responses, Score(GOAL), level=0.1)
        assert look.limit < alone.limit < look.predicted
    assert [look.limit >= GOAL for look in found.looks[:-1]] == [False] * (
        len(found.looks) - 1
    )


def test_the_prediction_is_the_law_of_the_variances_that_are_seen() -> None:
    """Of one target, whose mean over targets is its own."""
    _, first = study(1)
    responses = first(300)
    one = responses_of(
        responses.design, responses.outputs[:, :1], a_description(N_TRAIN, 1)
    )
    seen = variances_of(evaluation_of(one)).shares()
    linear, noise = seen.linear.item(), seen.noise.item()
    correlation = pairs_correlation(linear, noise, N_TRAIN, 150)
    found = look_at(one, Correlation(0.5)).predicted
    assert found == pytest.approx(correlation, rel=1e-9)
    score = expected_lds(correlation, linear, 0.0, 1 - linear, 1)
    assert look_at(one, Score(0.5)).predicted == pytest.approx(score, rel=1e-9)


def test_sizes_grow_and_begin_where_the_law_has_a_value() -> None:
    sizes = stopping_sizes(50, most=1000, least=20, growth=1.5, law=pairs_law)
    # More than N + 1 = 51 pairs.
    assert sizes[0] == 150
    assert sizes[-1] == 1000
    assert all(m % 2 == 0 for m in sizes)
    assert all(b <= 1.5 * a + 2 for a, b in pairwise(sizes))
    ridge = stopping_sizes(50, most=1000, least=20, growth=1.5, law=ridge_law)
    assert ridge[0] == 20
    assert stopping_sizes(50, most=201, least=200, growth=9, law=ols_law) == (200,)


def test_it_trains_each_model_once_and_what_a_plain_run_would() -> None:
    trained = []
    problem = NoisySum(n_train=12, noise=0.3)
    found = collect_until(
        problem,
        Correlation(0.9),
        most=600,
        least=60,
        seed=4,
        progress=trained.append,
    )
    assert found.reached
    n_models = found.responses.n_models
    assert [look.n_models for look in found.looks][-1] == n_models
    assert len(found.looks) > 1
    plain = collect(problem, ComplementaryPairs(n_pairs=n_models // 2, seed=4))
    torch.testing.assert_close(found.responses.outputs, plain.outputs, rtol=0, atol=0)


def test_what_most_does_not_reach_is_not_reached(tmp_path: Any) -> None:
    problem = NoisySum(n_train=12, noise=3.0, slope_noise=2.0)
    found = collect_until(
        problem, Score(0.95), most=90, least=60, store=tmp_path / "run.zarr"
    )
    assert not found.reached
    assert found.responses.n_models == 90
    again = collect_until(
        problem, Score(0.95), most=90, least=60, store=tmp_path / "run.zarr"
    )
    assert again.looks == found.looks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"most": 20},
            "most must be so many trainings that the law has a value, got 20",
        ),
        ({"least": 2}, "least must be at least 8"),
        ({"growth": 1.0}, "growth must be above 1, got 1.0"),
        ({"confidence": 1.0}, "confidence must"),
    ],
)
def test_wrong_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    arguments = {"most": 200, "least": 60, **changes}
    with pytest.raises(ValueError, match=message):
        collect_until(NoisySum(n_train=12), Score(0.5), **arguments)


def test_independent_subsets_have_a_look_too() -> None:
    design = Bernoulli(p=0.3, n_models=200, seed=1)
    found = look_at(collect(NoisySum(), design), Correlation(0.5), law=ols_law)
    assert found.n_models == 200
    assert 0 < found.limit < found.predicted < 1

"""Held-out prediction: errors by scikit-learn and numpy, coverage by simulation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import a_description, an_attribution, normal, responses_of
from sklearn.metrics import mean_squared_error, r2_score
from torch import Tensor

from dmtheory import Attribution, Responses, fit_datamodel
from dmtheory.agreement.prediction import Prediction, held_out_prediction
from dmtheory.agreement.resampling import resample_counts
from dmtheory.designs import Bernoulli, ComplementaryPairs, Replicates
from dmtheory.rendering.figures import draw_scatter
from dmtheory.rendering.predictions import prediction_scatter

N_TRAIN, N_TARGETS = 8, 3
BETA = normal(N_TRAIN, N_TARGETS, seed=50)


def additive(
    design: Bernoulli | Replicates | ComplementaryPairs, seed: int = 0
) -> Responses:
    """Return 2 + x'beta + noise of variance 1."""
    weights = design.weights(torch.arange(design.n_models), N_TRAIN)
    outputs = 2 + weights @ BETA + normal(len(weights), N_TARGETS, seed=100 + seed)
    return responses_of(design, outputs, a_description(N_TRAIN, N_TARGETS))


def datamodel(scores: Tensor = BETA, level: float = 2.0) -> Attribution:
    intercept = torch.full((N_TARGETS,), level, dtype=torch.float64)
    return replace(an_attribution(scores), intercept=intercept)


HELD_OUT = additive(Bernoulli(p=0.4, n_models=50, seed=9))
GUESS = BETA + 0.4 * normal(N_TRAIN, N_TARGETS, seed=1)


def test_errors_are_those_of_scikit_learn_and_numpy() -> None:
    found = held_out_prediction(datamodel(GUESS, 1.7), HELD_OUT)
    x, y = (1.7 + HELD_OUT.weights() @ GUESS).numpy(), HELD_OUT.outputs.numpy()
    np.testing.assert_allclose(found.predicted, x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.trained, y, rtol=0, atol=0)
    errors = found.per_target
    raw = "raw_values"
    np.testing.assert_allclose(errors.r_squared, r2_score(y, x, multioutput=raw))
    np.testing.assert_allclose(errors.mse, mean_squared_error(y, x, multioutput=raw))
    for j in range(N_TARGETS):
        expected = np.corrcoef(x[:, j], y[:, j])[0, 1]
        assert errors.pearson[j].item() == pytest.approx(expected)
    centred = (x - x.mean(0)).ravel(), (y - y.mean(0)).ravel()
    assert found.pearson.value == pytest.approx(np.corrcoef(*centred)[0, 1])
    assert found.mse.value == pytest.approx(mean_squared_error(y, x))
    pooled = 1 - ((y - x) ** 2).sum() / (centred[1] ** 2).sum()
    assert found.r_squared.value == pytest.approx(pooled)
    for interval in (found.pearson, found.mse, found.r_squared):
        assert interval.low < interval.value < interval.high


def resampled(found: Prediction, rows: np.ndarray) -> dict[str, float]:
    x, y = found.predicted.numpy()[rows], found.trained.numpy()[rows]
    return {
        "r_squared": 1 - ((y - x) ** 2).sum() / ((y - y.mean(0)) ** 2).sum(),
        "mse": ((y - x) ** 2).mean(),
        "pearson": np.corrcoef((x - x.mean(0)).ravel(), (y - y.mean(0)).ravel())[0, 1],
    }


@pytest.mark.parametrize("name", ["r_squared", "mse", "pearson"])
@pytest.mark.parametrize("paired", [False, True])
def test_intervals_are_those_of_the_same_resamples_by_hand(
    name: str, paired: bool
) -> None:
    design = ComplementaryPairs(n_pairs=25, seed=9)
    responses = additive(design) if paired else HELD_OUT
    found = held_out_prediction(datamodel(GUESS), responses, seed=3)
    counts = resample_counts(
        25 if paired else 50, 2 if paired else 1, draws=1000, seed=3
    )
    if paired:
        assert torch.equal(counts[:, ::2], counts[:, 1::2])
    rows = [np.repeat(np.arange(50), c.long().numpy()) for c in counts]
    assert {len(chosen) for chosen in rows} == {50}
    sample = [resampled(found, chosen)[name] for chosen in rows]
    low, median, high = np.quantile(sample, [0.025, 0.5, 0.975])
    interval = getattr(found, name)
    assert interval.value == pytest.approx(resampled(found, np.arange(50))[name])
    expected = interval.value + low - median, interval.value + high - median
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-9)


def test_the_truth_errs_by_the_seeds_alone_and_less_when_averaged() -> None:
    # Noise of variance 1 over 4 seeds: 3 targets x 400 subsets give the mean square a
    # standard error of .25 sqrt(2/1200) = .0102; a tolerance of 4 sigma.
    design = Replicates(design=Bernoulli(p=0.5, n_models=400, seed=3), n_replicates=4)
    found = held_out_prediction(datamodel(), additive(design))
    assert found.n_seeds == 4
    assert found.mse.value == pytest.approx(0.25, abs=0.041)
    signal = BETA.square().sum().item() / 4
    ceiling = signal / (signal + N_TARGETS / 4)
    assert found.r_squared.value == pytest.approx(ceiling, abs=0.02)


@pytest.mark.parametrize("paired", [False, True])
def test_the_error_of_all_subsets_lies_in_the_interval(paired: bool) -> None:
    # The population error of a guess is the noise's variance 1 plus that of the
    # coefficients' errors, p(1-p) sum d^2, plus the square of the mean's error. 300
    # studies of 60 subsets: coverage .95 has sigma .0126, and percentile intervals of
    # a mean of squares run short by about .01; the band [.89, .99] is beyond 3 sigma.
    gap = GUESS - BETA
    truth = 1 + (gap.square().sum(0) / 4 + (gap.sum(0) / 2).square()).mean().item()
    covered = 0
    for study in range(300):
        design: Bernoulli | ComplementaryPairs = (
            ComplementaryPairs(n_pairs=30, seed=study)
            if paired
            else Bernoulli(p=0.5, n_models=60, seed=study)
        )
        responses = additive(design, seed=10_000 + study)
        found = held_out_prediction(datamodel(GUESS), responses).mse
        covered += found.low <= truth <= found.high
    assert 0.89 <= covered / 300 <= 0.99, covered / 300


def test_a_fitted_datamodel_predicts_new_models_in_any_unit() -> None:
    fitted = fit_datamodel(additive(Bernoulli(p=0.5, n_models=800, seed=1)))
    found = held_out_prediction(fitted, HELD_OUT)
    truth = held_out_prediction(datamodel(), HELD_OUT)
    # 9 coefficients from 800 models cost 9/800 of the noise: far below 5 %.
    assert found.mse.value == pytest.approx(truth.mse.value, rel=0.05)
    same = held_out_prediction(fitted.in_unit("per_epsilon"), HELD_OUT)
    torch.testing.assert_close(same.predicted, found.predicted)


def test_a_constant_prediction_has_no_correlation() -> None:
    found = held_out_prediction(datamodel(torch.zeros_like(BETA)), HELD_OUT)
    assert found.per_target.pearson.tolist() == [0.0] * N_TARGETS
    assert found.pearson.value == 0.0
    assert found.r_squared.value < 0


def test_the_scatter_shows_both_sides_about_each_targets_mean() -> None:
    found = held_out_prediction(datamodel(GUESS), HELD_OUT)
    scatter = prediction_scatter(found)
    assert len(scatter.x) == found.predicted.numel()
    assert sum(scatter.y) == pytest.approx(0, abs=1e-9)
    # The whole of both sides: the distance from the line of slope 1 is the error.
    errors = np.square(np.array(scatter.x) - np.array(scatter.y))
    assert errors.mean() == pytest.approx(found.mse.value)
    assert scatter.predicted is not None
    assert scatter.predicted.value == 1.0
    drawing = draw_scatter(scatter, name="prediction")
    assert drawing.total == found.predicted.numel()
    one = prediction_scatter(found, target="question 2")
    assert len(one.x) == 50
    with pytest.raises(ValueError, match="target must be one of"):
        prediction_scatter(found, target="question 9")


def test_what_cannot_predict_or_be_predicted_is_refused() -> None:
    with pytest.raises(ValueError, match="must have an intercept to predict outputs"):
        held_out_prediction(an_attribution(BETA), HELD_OUT)
    own = replace(datamodel(), seeds=frozenset({9}))
    with pytest.raises(ValueError, match="must share no seeds"):
        held_out_prediction(own, HELD_OUT)
    level = replace(HELD_OUT, outputs=torch.ones_like(HELD_OUT.outputs))
    with pytest.raises(ValueError, match="outputs must vary over subsets"):
        held_out_prediction(datamodel(), level)
    outputs = HELD_OUT.outputs.clone()
    outputs[0, 0] = math.nan
    marked = HELD_OUT.diverged.clone()
    marked[0] = True
    broken = replace(HELD_OUT, outputs=outputs, diverged=marked)
    found = held_out_prediction(datamodel(), broken)
    assert (len(found.trained), found.n_diverged) == (49, 1)

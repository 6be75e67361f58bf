"""Held-out prediction: outputs that a datamodel foretells beside those trained."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import (
    centred_interval,
    pooled_products,
    resample_counts,
)
from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of
from dmtheory.attribution import Attribution
from dmtheory.responses.responses import Responses


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Errors:
    """How far predictions are from outputs, one number a target.

    Attributes:
        r_squared: 1 - sum (y - yhat)^2 / sum (y - mean y)^2; below 0 where the
            held-out mean predicts better.
        mse: Mean squared error, in squared units of the output.
        pearson: Correlation over subsets; 0 where a side is constant.
    """

    r_squared: Float[Tensor, " targets"]
    mse: Float[Tensor, " targets"]
    pearson: Float[Tensor, " targets"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """A datamodel's predictions of held-out outputs.

    Attributes:
        predicted: beta_0 + sum_{i in S} beta_i, a subset and target.
        trained: What was trained, averaged over replicates; the two are the pairs of
            a scatter.
        per_target: Errors of every target.
        r_squared: Pooled: summed squares over all targets, each about its own mean.
        mse: Pooled mean squared error.
        pearson: Pooled within targets.
        target_labels: One label a target.
        n_seeds: Training seeds a subset, averaged.
        n_diverged: Models that diverged; their subsets are left out.
        draws: Bootstrap draws.
    """

    predicted: Float[Tensor, "subsets targets"]
    trained: Float[Tensor, "subsets targets"]
    per_target: Errors
    r_squared: Interval
    mse: Interval
    pearson: Interval
    target_labels: tuple[str, ...]
    n_seeds: int
    n_diverged: int
    draws: int


def held_out_prediction(
    attribution: Attribution,
    responses: Responses | SubsetOutputs,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Prediction:
    r"""Predict held-out outputs by beta_0 + sum_{i in S} beta_i and measure the error.

    Unlike the linear datamodeling score this asks for the right scale and level, so
    only a datamodel, which has an intercept, can be asked. Seed noise of the outputs
    counts as error: R^2 has the ceiling V/(V + s^2/R) too.

    Args:
        attribution: A datamodel with its intercept.
        responses: Models of random subsets that the datamodel has not seen.
        draws: Bootstrap draws over subsets (whole pairs or blocks), at least 1,000.
        seed: Seed of the resampling.

    Returns:
        Both sides, errors a target, and pooled ones with 95 % intervals over subsets.

    Raises:
        ValueError: If there is no intercept, a target's outputs never vary, or the
            attribution may not be judged on the responses.

    References:
        Ilyas et al. 2022, Datamodels, section 3 (on-distribution mean-squared error).
    """
    if attribution.intercept is None:
        raise ValueError(
            "attribution must have an intercept to predict outputs, got a "
            f"{attribution.estimand.quantity} without one: use lds, which ranks only"
        )
    held_out = evaluation_of(responses)
    held_out.check_outputs_vary()
    trained = held_out.mean_outputs()
    predicted = held_out.predicted(attribution) + attribution.intercept
    counts = resample_counts(
        held_out.n_units, held_out.unit_size, draws=draws, seed=seed
    )
    value = _pooled(predicted, trained, torch.ones(1, len(trained)).double())
    sample = _pooled(predicted, trained, counts)
    pooled = {k: centred_interval(value[k][0], sample[k]) for k in value}
    return Prediction(
        predicted=predicted,
        trained=trained,
        per_target=_errors(predicted, trained),
        r_squared=pooled["r_squared"].clipped(-float("inf"), 1.0),
        mse=pooled["mse"].clipped(0.0, float("inf")),
        pearson=pooled["pearson"].clipped(-1.0, 1.0),
        target_labels=held_out.target_labels,
        n_seeds=held_out.n_seeds,
        n_diverged=held_out.n_diverged,
        draws=draws,
    )


def _errors(predicted: Tensor, trained: Tensor) -> Errors:
    squares = (trained - predicted).square()
    x, y = predicted - predicted.mean(0), trained - trained.mean(0)
    return Errors(
        r_squared=1 - squares.sum(0) / y.square().sum(0),
        mse=squares.mean(0),
        pearson=_ratio((x * y).sum(0), x.square().sum(0), y.square().sum(0)),
    )


def _pooled(predicted: Tensor, trained: Tensor, counts: Tensor) -> dict[str, Tensor]:
    """Return pooled errors of each draw, which holds each subset `counts` times."""
    squares = counts @ (trained - predicted).square().sum(1)
    x, y = predicted - predicted.mean(0), trained - trained.mean(0)
    xx, yy, xy = (pooled_products(a, b, counts) for a, b in ((x, x), (y, y), (x, y)))
    return {
        "r_squared": 1 - squares / yy,
        "mse": squares / counts.sum(1) / trained.shape[1],
        "pearson": _ratio(xy, xx, yy),
    }


def _ratio(covariance: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return covariance / (first * second).sqrt().clamp_min(1e-300)

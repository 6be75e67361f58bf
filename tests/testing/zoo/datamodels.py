"""Wrong estimators of datamodels, each one step away from ordinary least squares."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from zoo.wrong import Wrong

from dmtheory.designs import ComplementaryPairs, SubsetDesign


@dataclass(frozen=True)
class Fit:
    scores: Tensor
    stderr: Tensor | None = None
    intercept: Tensor | None = None


def check(masks: Tensor, outputs: Tensor) -> None:
    if len(masks) != len(outputs) or not bool(torch.isfinite(outputs).all()):
        raise ValueError("outputs must be finite, one row a mask")
    if bool((masks.std(0) == 0).any()):
        raise ValueError("masks must vary in every column")


def least_squares(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    """Centred minimum-norm least squares; half differences of complementary pairs."""
    check(masks, outputs)
    x, y = masks, outputs
    level, freedom = y.mean(0), 1
    if isinstance(design, ComplementaryPairs):
        x, y, freedom = (x[::2] - x[1::2]) / 2, (y[::2] - y[1::2]) / 2, 0
    else:
        x, y = x - x.mean(0), y - level
    inverse = torch.linalg.pinv(x, rtol=1e-10)
    scores = inverse @ y
    left = (y - x @ scores).square().sum(0) / max(len(x) - x.shape[1] - freedom, 1)
    return Fit(
        scores=scores,
        stderr=(inverse.square().sum(1)[:, None] * left).sqrt(),
        intercept=level - masks.mean(0) @ scores,
    )


def z_scored_masks(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    right = least_squares(masks, outputs, design)
    sigma = masks.std(0)[:, None]
    assert right.stderr is not None
    return replace(right, scores=right.scores * sigma, stderr=right.stderr * sigma)


def standardises_in_place(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    right = least_squares(masks, outputs, design)
    masks.sub_(masks.mean(0)).div_(masks.std(0))
    return right


def standardises_rows(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    check(masks, outputs)
    rows = (masks - masks.mean(1, keepdim=True)) / (masks.std(1, keepdim=True) + 1e-8)
    x, y = rows - rows.mean(0), outputs - outputs.mean(0)
    return Fit(scores=torch.linalg.pinv(x, rtol=1e-10) @ y)


def without_intercept(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    check(masks, outputs)
    return Fit(scores=torch.linalg.pinv(masks) @ outputs)


def bernoulli_variance(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    check(masks, outputs)
    p = design.inclusion(masks.shape[1])
    x, y = masks - masks.mean(0), outputs - outputs.mean(0)
    parts = x[:, :, None] * y[:, None, :] / (p * (1 - p))
    return Fit(scores=parts.mean(0), stderr=parts.std(0) / len(x) ** 0.5)


def always_half(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    check(masks, outputs)
    x, y = masks - masks.mean(0), outputs - outputs.mean(0)
    return Fit(scores=4 * x.T @ y / len(x))


def transposed(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Tensor:
    return least_squares(masks, outputs, design).scores.T


def standardised_outputs(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    check(masks, outputs)
    return least_squares(masks, outputs / outputs.std(0).clamp_min(1e-9), design)


def nan_where_nothing_varies(
    masks: Tensor, outputs: Tensor, design: SubsetDesign
) -> Fit:
    right = least_squares(masks, outputs, design)
    return replace(right, scores=right.scores * (outputs.std(0) / outputs.std(0)))


def single_precision(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    return least_squares(masks, outputs.float().double(), design)


def half_precision(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    return least_squares(masks, outputs.half().double(), design)


def flips_losses(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    right = least_squares(masks, outputs, design)
    # Takes a negative mean for a log-likelihood, and wants a loss.
    return replace(right, scores=right.scores * torch.where(outputs.mean(0) < 0, -1, 1))


def first_rows_validate(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    check(masks, outputs)
    return least_squares(masks[7:], outputs[7:], design)


def unseeded_bootstrap(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    rows = torch.randint(len(masks), (len(masks),))
    check(masks, outputs)
    return least_squares(masks[rows], outputs[rows], design)


def one_penalty_for_all(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    right = least_squares(masks, outputs, design)
    return replace(right, scores=right.scores / (1 + 0.01 * outputs.var()))


def fills_gaps(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    n = len(outputs)
    return least_squares(masks[:n], outputs.nan_to_num(0, 0, 0), design)


def error_of_one_model(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    right = least_squares(masks, outputs, design)
    assert right.stderr is not None
    return replace(right, stderr=right.stderr * len(masks) ** 0.5)


def hidden_variance(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    right = least_squares(masks, outputs, design)
    assert right.stderr is not None
    return replace(right, stderr=right.stderr / 2)


def stacks_pairs(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    plain: Any = None
    return least_squares(masks, outputs, plain)


def stale_permutation(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    right = least_squares(masks, outputs, design)
    order = right.scores[:, 0].argsort()
    return Fit(scores=right.scores[order])


def clips(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    check(masks, outputs)
    return least_squares(masks, outputs.clamp(-3, 3), design)


def centred_intercept(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    right = least_squares(masks, outputs, design)
    return replace(right, intercept=outputs.mean(0))


def keeps_the_first_of_equals(
    masks: Tensor, outputs: Tensor, design: SubsetDesign
) -> Fit:
    right = least_squares(masks, outputs, design).scores
    best = right.abs().round(decimals=9).argmax(0)
    kept = torch.zeros_like(right)
    kept[best, torch.arange(right.shape[1])] = right[best, torch.arange(right.shape[1])]
    return Fit(scores=kept)


def floor_of_scores(masks: Tensor, outputs: Tensor, design: SubsetDesign) -> Fit:
    right = least_squares(masks, outputs, design).scores
    return Fit(scores=right + 1e-3 * right.abs().max())


DATAMODELS = (
    Wrong(
        mistake="coefficients of z-scored masks",
        by=("population coefficient", "additive truth"),
        estimator=z_scored_masks,
        seen="MadryLab/fast_l1 regressor.py",
    ),
    Wrong(
        mistake="masks z-scored in place",
        by=("inputs kept",),
        estimator=standardises_in_place,
        seen="MadryLab/fast_l1 regressor.py",
    ),
    Wrong(
        mistake="masks normalised over the wrong axis",
        by=("null players",),
        estimator=standardises_rows,
        seen="opendataval ame.py",
    ),
    Wrong(mistake="no intercept", by=("shift",), estimator=without_intercept),
    Wrong(
        mistake="p(1-p) as the variance under a fixed size",
        by=("fixed size",),
        estimator=bernoulli_variance,
    ),
    Wrong(
        mistake="p taken for 1/2", by=("population coefficient",), estimator=always_half
    ),
    Wrong(
        mistake="targets in rows",
        by=("table of scores",),
        estimator=transposed,
        seen="layout of kronfluence and pyDVL",
    ),
    Wrong(
        mistake="outputs standardised, not mapped back",
        by=("scale",),
        estimator=standardised_outputs,
    ),
    Wrong(
        mistake="0/0 for a constant target",
        by=("constant targets",),
        estimator=nan_where_nothing_varies,
    ),
    Wrong(
        mistake="outputs in single precision",
        by=("precision",),
        estimator=single_precision,
    ),
    Wrong(
        mistake="outputs in half precision",
        by=("target linearity",),
        estimator=half_precision,
        seen="margins of MadryLab/datamodels-data",
    ),
    Wrong(
        mistake="sign flipped for losses only",
        by=("sign",),
        estimator=flips_losses,
        seen="dattri ground truth of LDS and LOO",
    ),
    Wrong(
        mistake="validation rows are the first ones",
        by=("model order",),
        estimator=first_rows_validate,
        seen="MadryLab/datamodels compute_datamodels.py",
    ),
    Wrong(
        mistake="bootstrap without a seed",
        by=("determinism",),
        estimator=unseeded_bootstrap,
        seen="MadryLab/datamodels train_cifar.py (unseeded masks)",
    ),
    Wrong(
        mistake="one penalty for all targets",
        by=("targets apart",),
        estimator=one_penalty_for_all,
    ),
    Wrong(
        mistake="missing outputs taken for 0",
        by=("bad input refused",),
        estimator=fills_gaps,
    ),
    Wrong(
        mistake="standard error of one model",
        by=("errors fall", "interval coverage"),
        estimator=error_of_one_model,
    ),
    Wrong(
        mistake="half of the standard error",
        by=("interval coverage",),
        estimator=hidden_variance,
    ),
    Wrong(
        mistake="pairs regressed as independent models",
        by=("coverage under pairs",),
        estimator=stacks_pairs,
    ),
    Wrong(
        mistake="rows in the order of a sort",
        by=("train permutation",),
        estimator=stale_permutation,
    ),
    Wrong(mistake="outliers clipped", by=("target linearity",), estimator=clips),
    Wrong(
        mistake="intercept of the centred fit",
        by=("intercept",),
        estimator=centred_intercept,
    ),
    Wrong(
        mistake="the first of equals keeps all",
        by=("duplicates share",),
        estimator=keeps_the_first_of_equals,
    ),
    Wrong(
        mistake="a floor under all scores",
        by=("null players",),
        estimator=floor_of_scores,
    ),
)

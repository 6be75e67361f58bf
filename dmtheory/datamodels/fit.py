"""From masks and outputs, or from responses, to a datamodel."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import as_matrix
from dmtheory.datamodels.ols import OLS, LinearFit
from dmtheory.designs import (
    AntitheticPairs,
    Bernoulli,
    ComplementaryPairs,
    DisjointBlocks,
    Grouped,
    Replicates,
    SubsetDesign,
)
from dmtheory.estimand import Estimand, Point
from dmtheory.identity import digest, numbered
from dmtheory.responses.responses import Responses

# How an estimand names the law of a design's rows; a row of a complementary pair is
# a Bernoulli(1/2) subset.
_LAWS = {"ComplementaryPairs": "Bernoulli", "FixedSize": "fixed size"}


class DatamodelEstimator(Protocol):
    """A rule that regresses outputs on weights."""

    def fit(
        self,
        weights: Tensor,
        outputs: Tensor,
        *,
        null_directions: Tensor | None = None,
    ) -> LinearFit:
        """Return coefficients with their sampling law."""
        ...

    def fit_pairs(self, weights: Tensor, outputs: Tensor) -> LinearFit:
        """Return the same from complementary pairs in consecutive rows."""
        ...


def fit_datamodel(
    masks_or_responses: Any,
    outputs: Any = None,
    *,
    design: Bernoulli | None = None,
    estimator: DatamodelEstimator = OLS(),  # noqa: B008 -- frozen, without state
    output: str = "output",
) -> Attribution:
    r"""Fit a linear datamodel f(S) ~ beta_0 + sum_{i in S} beta_i, a target.

    The population coefficient is beta_i(p) = E[F(S + i) - F(S - i)], the change of
    the output per unit of w_i between absence and presence, over random subsets.
    Positive: the example's presence raises the output.

    Args:
        masks_or_responses: Responses from `collect`, or masks of 0 and 1 with one
            model a row.
        outputs: One model a row and one target a column, when masks are given.
        design: The law of the masks, when masks are given.
        estimator: The regression.
        output: Name of the output function, when masks are given.

    Returns:
        Scores in units of the raw mask, with standard errors and the intercept.

    Raises:
        TypeError: If the design is missing or of no use for a datamodel.
        ValueError: If shapes differ, entries are not finite, masks are not 0 and 1,
            or the estimator needs more models.

    References:
        Ilyas et al. 2022, Datamodels, section 2.
    """
    if isinstance(masks_or_responses, Responses):
        if outputs is not None or design is not None:
            raise TypeError(
                "outputs and design come with the responses; leave them out"
            )
        return _fit_responses(masks_or_responses, estimator)
    if design is None:
        raise TypeError(
            "design must say how the masks were drawn, such as Bernoulli(p=0.5): the "
            "coefficients mean nothing without it"
        )
    if outputs is None:
        raise TypeError("outputs must be given beside masks")
    masks = as_matrix(masks_or_responses, "masks", "models x train")
    values = as_matrix(outputs, "outputs", "models x targets")
    if len(masks) != len(values):
        raise ValueError(
            f"masks and outputs must have one row a model, got {len(masks)} and "
            f"{len(values)} rows"
        )
    if bool(((masks != 0) & (masks != 1)).any()):
        raise ValueError("masks must hold 0 and 1 only")
    _check_share(masks, design)
    return _attribution(
        estimator.fit(masks, values),
        Estimand(
            quantity="datamodel",
            point=Point("subsets", design.p),
            output=output,
            normalisation="unknown",
            step_policy="unknown",
            problem=f"arrays-{digest(masks, values)}",
        ),
        train_labels=numbered("example", masks.shape[1]),
        target_labels=numbered("target", values.shape[1]),
        n_models=len(masks),
        seeds=frozenset(),
        method=type(estimator).__name__,
    )


def _fit_responses(responses: Responses, estimator: DatamodelEstimator) -> Attribution:
    problem, regression = responses.description, _regression(responses)
    design = regression.design
    if isinstance(design, ComplementaryPairs):
        fit = estimator.fit_pairs(regression.weights, regression.outputs)
    elif isinstance(design, AntitheticPairs | DisjointBlocks):
        raise TypeError(
            f"responses must come from independent rows or complementary pairs for "
            f"{type(estimator).__name__}, got {type(design).__name__}: its rows depend "
            "on one another"
        )
    else:
        null = design.null_directions(len(regression.labels))
        fit = estimator.fit(
            regression.weights,
            regression.outputs,
            null_directions=null if len(null) else None,
        )
    return _attribution(
        fit,
        Estimand(
            quantity="datamodel",
            point=Point(
                "subsets",
                design.inclusion(len(regression.labels)),
                _LAWS.get(type(design).__name__, type(design).__name__),
            ),
            output=problem.output,
            normalisation=problem.normalisation,
            step_policy=problem.step_policy,
            problem=problem.digest,
            seeds_per_weight=regression.seeds_per_weight,
        ),
        train_labels=regression.labels,
        target_labels=problem.target_labels,
        n_models=responses.n_models,
        seeds=frozenset({design.seed}),
        method=f"{type(estimator).__name__} on {type(design).__name__}, "
        f"{responses.n_models} models, {int(responses.diverged.sum())} diverged",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Regression:
    """What is regressed on what: one row a distinct weight vector of the players."""

    weights: Tensor
    outputs: Tensor
    labels: tuple[str, ...]
    design: SubsetDesign
    seeds_per_weight: int


def _regression(responses: Responses) -> _Regression:
    """Average replicates, take groups as players, leave diverged models out."""
    design, outputs = responses.design, responses.outputs
    if not isinstance(design, SubsetDesign):
        raise TypeError(
            "responses must come from a design of random subsets for a datamodel, got "
            f"{type(design).__name__}"
        )
    kept, labels, replicates = (
        ~responses.diverged,
        responses.description.train_labels,
        1,
    )
    while isinstance(design, Replicates | Grouped):
        if isinstance(design, Replicates):
            # A weight vector counts when all its replicates do.
            outputs = outputs.unflatten(0, (-1, design.n_replicates)).mean(1)
            kept = kept.unflatten(0, (-1, design.n_replicates)).all(1)
            replicates *= design.n_replicates
        else:
            labels = design.group_labels
        design = design.design
    if isinstance(design, ComplementaryPairs):
        kept = kept.unflatten(0, (-1, 2)).all(1).repeat_interleave(2)
    weights = design.weights(torch.arange(len(outputs)), len(labels))
    return _Regression(
        weights=weights[kept],
        outputs=outputs[kept],
        labels=labels,
        design=design,
        seeds_per_weight=replicates,
    )


def _attribution(fit: LinearFit, estimand: Estimand, **labels: Any) -> Attribution:
    return Attribution(
        scores=fit.coefficients,
        stderr=fit.stderr,
        units=fit.units,
        intercept=fit.intercept,
        estimand=estimand,
        n_train=len(fit.coefficients),
        **labels,
    )


def _check_share(masks: Tensor, design: Bernoulli) -> None:
    """Refuse masks whose share of ones contradicts the stated p (beyond 8 sigma)."""
    share = masks.mean().item()
    sigma = (design.p * (1 - design.p) / masks.numel()) ** 0.5
    if abs(share - design.p) > 8 * sigma:
        raise ValueError(
            f"design must match the masks: p = {design.p:g} was stated, but their "
            f"share of ones is {share:.4f}"
        )

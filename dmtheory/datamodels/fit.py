"""From masks and outputs, or from responses, to a datamodel."""

from typing import Any, Protocol

from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import as_matrix
from dmtheory.datamodels.ols import OLS, LinearFit
from dmtheory.designs.bernoulli import Bernoulli, ComplementaryPairs
from dmtheory.estimand import Estimand, Point
from dmtheory.identity import digest, numbered
from dmtheory.responses.collect import Responses


class DatamodelEstimator(Protocol):
    """A rule that regresses outputs on weights."""

    def fit(self, weights: Tensor, outputs: Tensor) -> LinearFit:
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
    design, problem = responses.design, responses.description
    weights, outputs = responses.weights(), responses.outputs
    if isinstance(design, Bernoulli):
        kept = ~responses.diverged
        fit = estimator.fit(weights[kept], outputs[kept])
    elif isinstance(design, ComplementaryPairs):
        # A pair with one diverged model says nothing.
        kept = ~responses.diverged.reshape(-1, 2).any(1).repeat_interleave(2)
        fit = estimator.fit_pairs(weights[kept], outputs[kept])
    else:
        raise TypeError(
            "responses must come from a design of random subsets for a datamodel, got "
            f"{type(design).__name__}"
        )
    return _attribution(
        fit,
        Estimand(
            quantity="datamodel",
            point=Point("subsets", design.p),
            output=problem.output,
            normalisation=problem.normalisation,
            step_policy=problem.step_policy,
            problem=problem.digest,
        ),
        train_labels=problem.train_labels,
        target_labels=problem.target_labels,
        n_models=responses.n_models,
        seeds=frozenset({design.seed}),
        method=f"{type(estimator).__name__} on {int(kept.sum())} models "
        f"({type(design).__name__})",
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

"""From masks and outputs, from responses, or from a store, to a datamodel."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.datamodels.estimators.linear_fit import LinearFit
from dmtheory.datamodels.estimators.ols import OLS
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.estimators.shrinkage import Shrinkage
from dmtheory.datamodels.rows.regression import (
    Regression,
    from_arrays,
    from_responses,
    from_store,
)
from dmtheory.designs import SubsetDesign
from dmtheory.estimand import Estimand
from dmtheory.responses.responses import Responses
from dmtheory.responses.store import ResponseStore


def fit_datamodel(
    masks_or_responses: Any,
    outputs: Any = None,
    *,
    design: SubsetDesign | None = None,
    estimator: DatamodelEstimator | None = None,
    prior: Attribution | None = None,
    output: str = "output",
    problem: str | None = None,
    device: torch.device | str = "cpu",
) -> Attribution:
    r"""Fit a linear datamodel f(S) ~ beta_0 + sum_{i in S} beta_i, a target.

    The population coefficient is beta_i(p) = E[F(S + i) - F(S - i)], the change of
    the output per unit of w_i between absence and presence, over random subsets.
    Positive: the example's presence raises the output.

    Args:
        masks_or_responses: Responses from `collect`, an open store of them (read block
            by block), or masks of 0 and 1 with one model a row.
        outputs: One model a row and one target a column, when masks are given.
        design: The law of the masks, when masks are given.
        estimator: The regression: `OLS`, `Ridge`, `Lasso` or `DifferenceOfMeans`; OLS
            by default, and ridge where there is a prior.
        prior: Scores to shrink toward, such as influence, in any unit: ridge then
            penalises the distance to a multiple of them. Its trainings count as spent.
        output: Name of the output function, when masks are given.
        problem: Name of the problem, when masks are given: only estimates of one
            problem can be compared.
        device: Where the rows of an open store are made and regressed; responses and
            arrays stay where they are.

    Returns:
        Scores in units of the raw mask, with the intercept, and with standard errors
        where the estimator has them.

    Raises:
        TypeError: If an argument is missing, or the design is of no use for a
            datamodel, or a prior is given to an estimator other than ridge.

    References:
        Ilyas et al. 2022, Datamodels, section 2.
    """
    regression = regression_of(
        masks_or_responses,
        outputs,
        design=design,
        output=output,
        problem=problem,
        device=device,
    )
    if prior is None:
        estimator = OLS() if estimator is None else estimator
        return attribution_of(regression, estimator.fit(regression.sample), estimator)
    if not isinstance(estimator, Ridge | None):
        raise TypeError(
            "estimator must be Ridge() where there is a prior, got "
            f"{type(estimator).__name__}"
        )
    toward = Shrinkage(
        prior=_prior_scores(prior, regression).to(regression.sample.shift.device),
        l2_penalties=None if estimator is None else estimator.l2_penalties,
    )
    fitted = attribution_of(regression, toward.fit(regression.sample), toward)
    return replace(
        fitted,
        n_models=fitted.n_models + prior.n_models,
        seeds=fitted.seeds | prior.seeds,
        method=f"{fitted.method}, toward {prior.estimand.quantity} ({prior.method}, "
        f"{prior.n_models} models)",
    )


def regression_of(
    masks_or_responses: Any,
    outputs: Any = None,
    *,
    design: SubsetDesign | None = None,
    output: str = "output",
    problem: str | None = None,
    device: torch.device | str = "cpu",
) -> Regression:
    """Return what `fit_datamodel` regresses; its `sample` goes to `estimator.fit`.

    Raises:
        TypeError: If an argument is missing, or the design is of no use for a
            datamodel.
    """
    if isinstance(masks_or_responses, Responses | ResponseStore):
        if outputs is not None or design is not None:
            raise TypeError(
                "outputs and design come with the responses; leave them out"
            )
        if isinstance(masks_or_responses, ResponseStore):
            return from_store(masks_or_responses, device=device)
        return from_responses(masks_or_responses)
    if design is None:
        raise TypeError(
            "design must say how the masks were drawn, such as Bernoulli(p=0.5): the "
            "coefficients mean nothing without it"
        )
    if outputs is None:
        raise TypeError("outputs must be given beside masks")
    return from_arrays(masks_or_responses, outputs, design, output, problem)


def attribution_of(
    regression: Regression, fit: LinearFit, estimator: DatamodelEstimator
) -> Attribution:
    """Return a fit as scores that say what they estimate.

    Raises:
        ValueError: If a target is not solved to the estimator's tolerance.
    """
    n_models = f"{regression.n_models} models"
    if regression.n_diverged:
        n_models += f", {regression.n_diverged} diverged"
    how = [f"{type(estimator).__name__} on {type(regression.design).__name__}"]
    how.append(n_models)
    if fit.certificate is not None:
        fit.certificate.check()
        how.append(str(fit.certificate))
    return Attribution(
        scores=fit.coefficients,
        stderr=fit.stderr,
        units=fit.units,
        intercept=fit.intercept,
        estimand=Estimand(**regression.estimand),
        train_labels=regression.train_labels,
        target_labels=regression.target_labels,
        n_train=len(regression.train_labels),
        n_models=regression.n_models,
        seeds=regression.seeds,
        method=", ".join(how),
    )


def _prior_scores(
    prior: Attribution, regression: Regression
) -> Float[Tensor, "train targets"]:
    """Return the prior's scores, row by row and column by column those of the fit.

    Raises:
        ValueError: If the prior is of another problem or output, lacks a label, or
            shares models with the fit.
    """
    shared = prior.seeds & regression.seeds
    if shared:
        raise ValueError(
            "prior must come from other models than the responses, or its strength "
            f"cannot be chosen on them, got the experiment seed {min(shared)} in both"
        )
    prior = prior.in_unit("per_weight")
    if not regression.named:
        return prior.scores
    for field in ("problem", "output"):
        stated, wanted = getattr(prior.estimand, field), regression.estimand[field]
        if stated != wanted:
            raise ValueError(
                f"prior must have the {field} of the responses, {wanted!r}, got "
                f"{stated!r}"
            )
    return prior.restricted(regression.train_labels, regression.target_labels).scores

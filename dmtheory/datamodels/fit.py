"""From masks and outputs, from responses, or from a store, to a datamodel."""

from typing import Any, Protocol, runtime_checkable

from dmtheory.attribution import Attribution
from dmtheory.datamodels.linear_fit import LinearFit
from dmtheory.datamodels.ols import OLS
from dmtheory.datamodels.regression import (
    Regression,
    from_arrays,
    from_responses,
    from_store,
)
from dmtheory.datamodels.sample import Sample
from dmtheory.designs import SubsetDesign
from dmtheory.estimand import Estimand
from dmtheory.responses.responses import Responses
from dmtheory.responses.store import ResponseStore


@runtime_checkable
class DatamodelEstimator(Protocol):
    """A rule that regresses outputs on weights."""

    def fit(self, sample: Sample) -> LinearFit:
        """Return coefficients with their sampling law."""
        ...


def fit_datamodel(
    masks_or_responses: Any,
    outputs: Any = None,
    *,
    design: SubsetDesign | None = None,
    estimator: DatamodelEstimator = OLS(),  # noqa: B008 -- frozen, without state
    output: str = "output",
    problem: str | None = None,
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
        estimator: The regression: `OLS`, `Ridge`, `Lasso` or `DifferenceOfMeans`.
        output: Name of the output function, when masks are given.
        problem: Name of the problem, when masks are given: only estimates of one
            problem can be compared.

    Returns:
        Scores in units of the raw mask, with the intercept, and with standard errors
        where the estimator has them.

    Raises:
        TypeError: If an argument is missing, or the design is of no use for a
            datamodel.

    References:
        Ilyas et al. 2022, Datamodels, section 2.
    """
    regression = regression_of(
        masks_or_responses, outputs, design=design, output=output, problem=problem
    )
    return attribution_of(regression, estimator.fit(regression.sample), estimator)


def regression_of(
    masks_or_responses: Any,
    outputs: Any = None,
    *,
    design: SubsetDesign | None = None,
    output: str = "output",
    problem: str | None = None,
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
            return from_store(masks_or_responses)
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

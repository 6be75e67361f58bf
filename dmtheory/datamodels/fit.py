"""From masks and outputs, or from responses, to a datamodel."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.datamodels.ols import OLS, LinearFit
from dmtheory.datamodels.regression import Regression, from_arrays, from_responses
from dmtheory.designs import (
    AntitheticPairs,
    ComplementaryPairs,
    DisjointBlocks,
    SubsetDesign,
)
from dmtheory.estimand import Estimand, Point
from dmtheory.responses.responses import Responses

# How an estimand names the law of a design's rows; a row of a complementary pair is
# a Bernoulli(1/2) subset.
_LAWS = {"ComplementaryPairs": "Bernoulli", "FixedSize": "fixed size"}


@runtime_checkable
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
        masks_or_responses: Responses from `collect`, or masks of 0 and 1 with one
            model a row.
        outputs: One model a row and one target a column, when masks are given.
        design: The law of the masks, when masks are given.
        estimator: The regression.
        output: Name of the output function, when masks are given.
        problem: Name of the problem, when masks are given: only estimates of one
            problem can be compared.

    Returns:
        Scores in units of the raw mask, with standard errors and the intercept.

    Raises:
        TypeError: If an argument is missing, or the design is of no use for a
            datamodel.

    References:
        Ilyas et al. 2022, Datamodels, section 2.
    """
    if isinstance(masks_or_responses, Responses):
        if outputs is not None or design is not None:
            raise TypeError(
                "outputs and design come with the responses; leave them out"
            )
        return _estimate(from_responses(masks_or_responses), estimator)
    if design is None:
        raise TypeError(
            "design must say how the masks were drawn, such as Bernoulli(p=0.5): the "
            "coefficients mean nothing without it"
        )
    if outputs is None:
        raise TypeError("outputs must be given beside masks")
    found = from_arrays(masks_or_responses, outputs, design, output, problem)
    return _estimate(found, estimator)


def _estimate(regression: Regression, estimator: DatamodelEstimator) -> Attribution:
    design, n_players = regression.design, len(regression.train_labels)
    fit = _fit(regression, estimator)
    point = Point(
        "subsets",
        design.inclusion(n_players),
        _LAWS.get(type(design).__name__, type(design).__name__),
    )
    diverged = f", {regression.n_diverged} diverged" if regression.n_diverged else ""
    return Attribution(
        scores=fit.coefficients,
        stderr=fit.stderr,
        units=fit.units,
        intercept=fit.intercept,
        estimand=Estimand(quantity="datamodel", point=point, **regression.estimand),
        train_labels=regression.train_labels,
        target_labels=regression.target_labels,
        n_train=n_players,
        n_models=regression.n_models,
        seeds=regression.seeds,
        method=f"{type(estimator).__name__} on {type(design).__name__}, "
        f"{regression.n_models} models{diverged}",
    )


def _fit(regression: Regression, estimator: DatamodelEstimator) -> LinearFit:
    design = regression.design
    if isinstance(design, ComplementaryPairs):
        return estimator.fit_pairs(regression.weights, regression.outputs)
    if isinstance(design, AntitheticPairs | DisjointBlocks):
        raise TypeError(
            "responses must come from independent rows or complementary pairs for "
            f"{type(estimator).__name__}, got {type(design).__name__}: its rows depend "
            "on one another"
        )
    null = design.null_directions(len(regression.train_labels))
    return estimator.fit(
        regression.weights,
        regression.outputs,
        null_directions=null if len(null) else None,
    )

"""This package's own estimators, with what they promise."""

from typing import Any

import torch
from samples import table
from torch import Tensor

from dmtheory import (
    OLS,
    DifferenceOfMeans,
    EmpiricalFisher,
    ExactHessian,
    FiniteDifference,
    Fisher,
    Forward,
    GaussNewton,
    Implicit,
    Lasso,
    Pathwise,
    RandomDirections,
    Richardson,
    Ridge,
    fit_datamodel,
    influence,
    response_derivative,
    solvers,
)
from dmtheory.derivatives.through_training.steps import Unrollable
from dmtheory.influence.curvature import EKFAC, KFAC
from dmtheory.problems import (
    MLP,
    SGD,
    LeastSquares,
    LogisticRegression,
    Network,
    SampleMean,
    SoftmaxRegression,
    or_of_duplicates,
)
from dmtheory.testing import Declared, declares

PENALTY = 0.1


def shrunk(beta: Tensor, variance: float) -> Tensor:
    return beta / (1 + PENALTY / variance)


def thresholded(beta: Tensor, variance: float) -> Tensor:
    return beta.sign() * (beta.abs() - PENALTY / (2 * variance)).clamp_min(0)


def less_by_one_of_all(masks: Tensor, outputs: Tensor, design: Any) -> Tensor:
    """Return the difference of means as an average over all rows, not m - 1."""
    found = fit_datamodel(masks, outputs, design=design, estimator=DifferenceOfMeans())
    return found.scores * (len(masks) - 1) / len(masks)


DRAWN = "unbiased over drawn masks, so m/(m - 1) times too large on enumerated ones"
ENUMERATED = "for enumerated masks"
BIASED = "intervals are of the shrunk coefficient, E beta-hat"
CHOSEN = "the penalty is chosen by the data"
UNITS = "the penalty is in units of the output"

DATAMODELS = {
    "OLS": declares("datamodel")(OLS()),
    "robust OLS": declares("datamodel")(OLS(errors="robust")),
    "difference of means": declares(
        "datamodel",
        not_promised=dict.fromkeys(("population coefficient", "fixed size"), DRAWN),
    )(DifferenceOfMeans()),
    "difference of means, enumerated": declares(
        "datamodel",
        not_promised=dict.fromkeys(
            ("additive truth", "interval coverage", "coverage under pairs"), ENUMERATED
        ),
    )(less_by_one_of_all),
    "ridge": declares(
        "datamodel",
        limit=shrunk,
        not_promised=dict.fromkeys(
            ("interval coverage", "coverage under pairs"), BIASED
        ),
    )(Ridge(l2_penalties=(PENALTY,))),
    "ridge by leave-one-out": declares(
        "datamodel",
        not_promised={
            "interval coverage": BIASED,
            "coverage under pairs": BIASED,
            "target linearity": CHOSEN,
            "population coefficient": CHOSEN,
            "additive truth": CHOSEN,
            "fixed size": CHOSEN,
            "errors fall": CHOSEN,
        },
    )(Ridge()),
    "LASSO": declares(
        "datamodel",
        limit=thresholded,
        tolerance=1e-5,
        not_promised={
            "target linearity": "the threshold bends it",
            "scale": UNITS,
            "fixed size": "the constant is picked by its L1 norm",
        },
    )(Lasso(l1_penalties=(PENALTY,))),
}


def implicitly(problem: Any, at: Tensor) -> Any:
    return response_derivative(problem, Implicit(), at=at)


def by_conjugate_gradients(problem: Any, at: Tensor) -> Any:
    return influence(problem, at=at, solver=solvers.ConjugateGradients())


def by_differences(problem: Any, at: Tensor) -> Any:
    rule = FiniteDifference(step=0.02, rule=Richardson())
    return response_derivative(problem, rule, at=at)


ATTRIBUTIONS = {
    "influence": declares("attribution")(influence),
    "conjugate gradients": declares(
        "attribution",
        tolerance=1e-6,
        not_promised={"ill-conditioning": "the solver states its residual, not errors"},
    )(by_conjugate_gradients),
    "implicit function theorem": declares("attribution")(implicitly),
    "Richardson differences": declares(
        "attribution",
        tolerance=1e-4,
        not_promised={"ill-conditioning": "differences amplify rounding"},
    )(by_differences),
}


def pathwise(problem: Any, **stated: Any) -> Any:
    if not isinstance(problem, Unrollable):
        raise NotImplementedError("training cannot be differentiated step by step")
    return response_derivative(problem, Pathwise(n_seeds=2), **stated)


DERIVATIVES = {
    "Richardson": declares("derivative", tolerance=1e-5)(
        FiniteDifference(step=0.02, rule=Richardson(), n_seeds=40)
    ),
    # Bias (h/W)^2 of a mean, W = 1 the least total weight of the cases.
    "central": declares("derivative", tolerance=5e-3)(FiniteDifference(n_seeds=40)),
    "forward": declares(
        "derivative",
        tolerance=1e-2,
        not_promised=dict.fromkeys(
            ("sample mean", "efficiency", "curved response", "scale"),
            "the bias of a forward step is of order h F''",
        ),
    )(FiniteDifference(step=1e-3, rule=Forward(), n_seeds=40)),
    "pathwise": declares("derivative")(pathwise),
    "random directions": declares(
        "derivative",
        tolerance=2e-2,
        not_promised={"weight 0": "moves both ways, so weights must exceed the step"},
    )(RandomDirections(n_pairs=40)),
}


def with_equal_weights(rule: Any) -> Any:
    def make(problem: Any, params: Tensor, shares: Tensor) -> Any:
        given = shares[shares > 0]
        if not bool((given == given[0]).all()):
            raise NotImplementedError("Kronecker factors need equal weights")
        return rule.operator(problem, params, shares)

    return make


CROSS = "layers are taken apart, and a product of means for a mean of products"
CURVATURES = {
    "Hessian": declares("curvature", kind="hessian")(ExactHessian()),
    "Gauss-Newton": declares("curvature", kind="gauss-newton")(GaussNewton()),
    "Fisher": declares("curvature", kind="fisher")(Fisher()),
    "empirical Fisher": declares("curvature", kind="empirical-fisher")(
        EmpiricalFisher()
    ),
    "K-FAC": declares("curvature", kind="fisher", not_promised={"dense oracle": CROSS})(
        with_equal_weights(KFAC())
    ),
    "EK-FAC": declares(
        "curvature", kind="fisher", not_promised={"dense oracle": CROSS}
    )(with_equal_weights(EKFAC())),
}

NUMBERS, CLASSES = table(6, 2, seed=1), table(8, 2, classes=3, seed=1)
PROBLEMS: dict[str, Declared] = {
    "ridge": declares("problem")(LeastSquares(data=NUMBERS, ridge=0.1)),
    "ridge, count": declares("problem")(
        LeastSquares(data=NUMBERS, ridge=0.1, normalisation="count")
    ),
    "logistic": declares("problem")(
        LogisticRegression(data=table(6, 2, classes=2, seed=1), ridge=0.1)
    ),
    "softmax": declares("problem")(SoftmaxRegression(data=CLASSES, ridge=0.1)),
    "set function": declares("problem")(or_of_duplicates(4, 2)),
    "sample mean": declares("problem")(
        SampleMean(values=torch.tensor([1.0, 2.0, 5.0]).double())
    ),
    "network": declares("problem")(
        Network(
            make_module=MLP((2, 2, 3)),
            data=CLASSES,
            training=SGD(epochs=2, batch_size=4),
        )
    ),
}

OWN = {
    f"{declared.contract}: {name}": declared
    for group in (DATAMODELS, ATTRIBUTIONS, DERIVATIVES, CURVATURES, PROBLEMS)
    for name, declared in group.items()
}

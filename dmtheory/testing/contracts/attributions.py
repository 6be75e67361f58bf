"""The contract of attributions to trained models: influence and its kin."""

from collections.abc import Callable
from typing import Any

from dmtheory.testing.comparing import check_same
from dmtheory.testing.contracts.attribution_laws import (
    ATTRIBUTION_LAWS,
    attributed,
    check_attributed,
)
from dmtheory.testing.declaring import declared_as
from dmtheory.testing.profiles import Profile
from dmtheory.testing.properties import Declared, Property
from dmtheory.testing.running import run_contract
from dmtheory.testing.strategies.convex import (
    LEAST_SQUARES,
    LOGISTIC,
    ConvexCase,
    convex_cases,
)
from dmtheory.testing.table import ContractTable

_CONDITION = 1e4


def _is_the_derivative(declared: Declared, case: ConvexCase) -> None:
    check_attributed(declared, case, case.derivative)


def _survives_bad_conditioning(declared: Declared, case: ConvexCase) -> None:
    """Errors of float64 grow with the squared condition number of the features."""
    check_same(
        attributed(declared, case),
        case.derivative,
        "scores",
        tolerance=declared.tolerance + 1e3 * _CONDITION**2 * 1e-16,
        size=1e-3,
    )


def _orders_removals(declared: Declared, case: ConvexCase) -> None:
    """The sign of the score of the example that matters most."""
    truth = case.derivative[:, 0]
    top = int(truth.abs().argmax())
    found = attributed(declared, case)[:, 0]
    # An example that does nothing to speak of has no sign.
    if truth[top].abs() > 1e-6:
        check_same(
            found[[top]].sign(),
            truth[[top]].sign(),
            f"sign of the score of example {top}",
            tolerance=0.0,
        )


ATTRIBUTION = (
    *ATTRIBUTION_LAWS,
    Property(
        name="sign",
        statement="Where more weight on the strongest example raises the output, its "
        "score is positive.",
        cases=convex_cases(),
        check=_orders_removals,
    ),
    Property(
        name="least squares",
        statement="dF/dw_i of ridge regression, in closed form at any weights.",
        cases=convex_cases(kinds=(LEAST_SQUARES,)),
        check=_is_the_derivative,
    ),
    Property(
        name="logistic regression",
        statement="dF/dw_i of ridge logistic regression, in closed form.",
        cases=convex_cases(kinds=(LOGISTIC,)),
        check=_is_the_derivative,
    ),
    Property(
        name="ill-conditioning",
        statement="The same for features of condition number 1e4, with hardly a ridge.",
        cases=convex_cases(
            kinds=(LEAST_SQUARES,), ridges=(1e-10,), condition=_CONDITION
        ),
        check=_survives_bad_conditioning,
    ),
)


def check_attribution(
    attribute: Callable[..., Any],
    *,
    profile: Profile | None = None,
    **promises: Any,
) -> ContractTable:
    r"""Try everything that an estimate of dF/dw_i at a trained model owes.

    F(w) is the output of the model trained with weights w on
    J = (1/W) sum_j w_j l_j + R; per unit of w_i, positive: more weight raises the
    output.

    Args:
        attribute: A function of (problem, at=weights [train]) that returns scores
            [train, targets], or an object with `scores`. The problem is a
            `LeastSquares` or `LogisticRegression`. Raise NotImplementedError for what
            it does not take, such as weights that are not all 1.
        profile: How hard to try; by default as Hypothesis is set.
        **promises: Fields of `Declared`: `not_promised`, `tolerance`.

    Returns:
        A table of what holds and what does not, with the smallest counterexamples.
    """
    return run_contract(
        ATTRIBUTION, declared_as("attribution", attribute, promises), profile
    )

"""Agreement of attributions with derivatives in closed form."""

from dmtheory.testing.comparing import check_same
from dmtheory.testing.contracts.attribution.calls import attributed, check_attributed
from dmtheory.testing.properties import Declared, Property
from dmtheory.testing.strategies.convex import (
    LEAST_SQUARES,
    LOGISTIC,
    ConvexCase,
    convex_cases,
)

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


TRUTHS = (
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

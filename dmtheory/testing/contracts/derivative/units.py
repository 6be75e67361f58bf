"""Outputs that are mixed, in another unit, or raised by a level."""

from collections.abc import Callable

from dmtheory.testing.comparing import check_same
from dmtheory.testing.contracts.derivative.calls import check_derived, derived
from dmtheory.testing.properties import Declared, Property
from dmtheory.testing.strategies.responses import (
    Respond,
    ResponseCase,
    set_functions,
    smooth_responses,
)

_ANY = smooth_responses()
_LEVEL = 1e6


def _is_linear(declared: Declared, case: ResponseCase) -> None:
    """f, g = w_0 f and 2f - 3g, each asked for alone."""

    def product(respond: Respond) -> Respond:
        return lambda w, s: w[:, :1] * respond(w, s)

    def both(respond: Respond) -> Respond:
        return lambda w, s: (2 - 3 * w[:, :1]) * respond(w, s)

    other = case.through(product, case.derivative, "w_0 times the response")
    mixed = case.through(both, case.derivative, "2 - 3 w_0 times the response")
    expected = 2 * derived(declared, case) - 3 * derived(declared, other)
    check_derived(declared, mixed, expected)


def _scaled_by(factor: float) -> Callable[[Declared, ResponseCase], None]:
    def check(declared: Declared, case: ResponseCase) -> None:
        def change(respond: Respond) -> Respond:
            return lambda w, s: factor * respond(w, s)

        scaled = case.through(change, case.derivative, f"{factor:g} times the response")
        check_derived(declared, scaled, factor * derived(declared, case))

    return check


def _ignores_a_level(declared: Declared, case: ResponseCase) -> None:
    def change(respond: Respond) -> Respond:
        return lambda w, s: _LEVEL + respond(w, s)

    raised = case.through(change, case.derivative, "a million more than the response")
    check_same(
        derived(declared, raised),
        derived(declared, case),
        "scores",
        tolerance=declared.tolerance + 1e-5,
        size=1.0,
    )


UNITS = (
    Property(
        name="target linearity",
        statement="The scores of 2f - 3g are 2 those of f less 3 those of g.",
        cases=set_functions(),
        check=_is_linear,
    ),
    Property(
        name="scale",
        statement="Outputs in units 1000 times smaller: scores 1000 times.",
        cases=_ANY,
        check=_scaled_by(1000.0),
    ),
    Property(
        name="sign",
        statement="The scores of -f are minus those of f.",
        cases=_ANY,
        check=_scaled_by(-1.0),
    ),
    Property(
        name="precision",
        statement="A level of a million under the output changes nothing.",
        cases=_ANY,
        check=_ignores_a_level,
    ),
)

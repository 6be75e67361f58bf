"""The contract of response derivatives."""

from collections.abc import Callable
from typing import Any

from dmtheory.derivatives.method import DerivativeMethod
from dmtheory.testing.contracts.derivative.axioms import AXIOMS
from dmtheory.testing.contracts.derivative.calls import CALLS
from dmtheory.testing.contracts.derivative.refusals import REFUSALS
from dmtheory.testing.contracts.derivative.symmetries import SYMMETRIES
from dmtheory.testing.contracts.derivative.truths import TRUTHS
from dmtheory.testing.contracts.derivative.units import UNITS
from dmtheory.testing.declaring import declared_as
from dmtheory.testing.profiles import Profile
from dmtheory.testing.running import run_contract
from dmtheory.testing.table import ContractTable

DERIVATIVE = (
    *CALLS,
    *SYMMETRIES,
    *UNITS,
    *AXIOMS,
    *REFUSALS,
    *TRUTHS,
)


def check_derivative(
    derive: Callable[..., Any] | DerivativeMethod,
    *,
    profile: Profile | None = None,
    **promises: Any,
) -> ContractTable:
    r"""Try everything that an estimate of the response derivative owes.

    g_i(w) = d/dw_i E_r f(Phi(r; w)), per unit of w_i, positive: more weight raises the
    output.

    Args:
        derive: A function of (problem, at=weights [train], coordinates=None or numbers
            of examples, seed=experiment seed) that returns scores [coordinates,
            targets], or an object with `scores` and, if it has them, `stderr`; or a
            method of this package. The problem has `respond` alone, but where it is a
            network. Raise NotImplementedError for what it does not take.
        profile: How hard to try; by default as Hypothesis is set.
        **promises: Fields of `Declared`: `not_promised`, `tolerance`.

    Returns:
        A table of what holds and what does not, with the smallest counterexamples.
    """
    return run_contract(
        DERIVATIVE, declared_as("derivative", derive, promises), profile
    )

"""The contract of attributions to trained models: influence and its kin."""

from collections.abc import Callable
from typing import Any

from dmtheory.testing.contracts.attribution.axioms import AXIOMS
from dmtheory.testing.contracts.attribution.calls import CALLS
from dmtheory.testing.contracts.attribution.refusals import REFUSALS
from dmtheory.testing.contracts.attribution.symmetries import SYMMETRIES
from dmtheory.testing.contracts.attribution.truths import TRUTHS
from dmtheory.testing.contracts.attribution.units import UNITS
from dmtheory.testing.declaring import declared_as
from dmtheory.testing.profiles import Profile
from dmtheory.testing.running import run_contract
from dmtheory.testing.table import ContractTable

ATTRIBUTION = (
    *CALLS,
    *SYMMETRIES,
    *UNITS,
    *AXIOMS,
    *REFUSALS,
    *TRUTHS,
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

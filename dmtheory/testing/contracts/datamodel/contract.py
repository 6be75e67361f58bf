"""The contract of datamodel estimators."""

from collections.abc import Callable
from typing import Any

from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.testing.contracts.datamodel.axioms import AXIOMS
from dmtheory.testing.contracts.datamodel.calls import CALLS
from dmtheory.testing.contracts.datamodel.refusals import REFUSALS
from dmtheory.testing.contracts.datamodel.symmetries import SYMMETRIES
from dmtheory.testing.contracts.datamodel.truths import TRUTHS
from dmtheory.testing.contracts.datamodel.units import UNITS
from dmtheory.testing.declaring import declared_as
from dmtheory.testing.profiles import Profile
from dmtheory.testing.running import run_contract
from dmtheory.testing.table import ContractTable

DATAMODEL = (
    *CALLS,
    *SYMMETRIES,
    *UNITS,
    *AXIOMS,
    *REFUSALS,
    *TRUTHS,
)


def check_datamodel_estimator(
    fit: Callable[..., Any] | DatamodelEstimator,
    *,
    profile: Profile | None = None,
    **promises: Any,
) -> ContractTable:
    r"""Try everything that an estimator of beta(p) owes.

    beta_i(p) = E[F(S + i) - F(S - i)] over S ~ Bernoulli(p), per unit of the raw mask;
    positive: the example's presence raises the output.

    Args:
        fit: A function of (masks [models, train], outputs [models, targets], design)
            that returns scores [train, targets], or an object with `scores` and, if it
            has them, `stderr` and `intercept`; or an estimator of this package. Raise
            NotImplementedError for designs that it does not take.
        profile: How hard to try; by default as Hypothesis is set.
        **promises: Fields of `Declared`: `not_promised`, `tolerance`, `limit`.

    Returns:
        A table of what holds and what does not, with the smallest counterexamples.
    """
    return run_contract(DATAMODEL, declared_as("datamodel", fit, promises), profile)

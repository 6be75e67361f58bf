"""Property-based tests for anybody's estimator.

Five contracts, each a list of named properties that an estimator of its kind owes:

    check_datamodel_estimator, check_attribution, check_derivative,
    check_curvature_operator, check_problem

each of which returns a table of what holds, what does not (with the smallest
counterexample), and what is not promised; the same as pytest tests by
`parametrize_with_checks`, and by `dmtheory check my_module:my_estimator`. Strategies
for one's own tests are in `dmtheory.testing.strategies`.
"""

from dmtheory.testing import extra  # noqa: F401  # isort: skip -- before Hypothesis
from dmtheory.testing import strategies
from dmtheory.testing.contracts import (
    PROPERTIES,
    check_attribution,
    check_curvature_operator,
    check_datamodel_estimator,
    check_derivative,
    check_problem,
)
from dmtheory.testing.declaring import declares
from dmtheory.testing.loading import load_estimator
from dmtheory.testing.profiles import PROFILES, Profile, profile, register_profiles
from dmtheory.testing.properties import (
    Declared,
    NotApplicable,
    Outcome,
    Property,
    Violation,
)
from dmtheory.testing.pytest_checks import parametrize_with_checks
from dmtheory.testing.running import run_contract
from dmtheory.testing.table import ContractTable

__all__ = [
    "PROFILES",
    "PROPERTIES",
    "ContractTable",
    "Declared",
    "NotApplicable",
    "Outcome",
    "Profile",
    "Property",
    "Violation",
    "check_attribution",
    "check_curvature_operator",
    "check_datamodel_estimator",
    "check_derivative",
    "check_problem",
    "declares",
    "load_estimator",
    "parametrize_with_checks",
    "profile",
    "register_profiles",
    "run_contract",
    "strategies",
]

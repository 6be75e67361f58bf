"""Contracts: the properties that an estimator of each kind owes."""

from dmtheory.testing.contracts.attribution.contract import (
    ATTRIBUTION,
    check_attribution,
)
from dmtheory.testing.contracts.curvature.contract import (
    CURVATURE,
    check_curvature_operator,
)
from dmtheory.testing.contracts.datamodel.contract import (
    DATAMODEL,
    check_datamodel_estimator,
)
from dmtheory.testing.contracts.derivative.contract import DERIVATIVE, check_derivative
from dmtheory.testing.contracts.problem.contract import PROBLEM, check_problem
from dmtheory.testing.properties import Property

# Keys are those of `properties.CONTRACTS`.
PROPERTIES: dict[str, tuple[Property, ...]] = {
    "datamodel": DATAMODEL,
    "attribution": ATTRIBUTION,
    "derivative": DERIVATIVE,
    "curvature": CURVATURE,
    "problem": PROBLEM,
}

__all__ = [
    "PROPERTIES",
    "check_attribution",
    "check_curvature_operator",
    "check_datamodel_estimator",
    "check_derivative",
    "check_problem",
]

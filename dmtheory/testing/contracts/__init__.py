"""Contracts: the properties that an estimator of each kind owes."""

from dmtheory.testing.contracts.attributions import ATTRIBUTION, check_attribution
from dmtheory.testing.contracts.curvature_laws import CURVATURE
from dmtheory.testing.contracts.curvatures import check_curvature_operator
from dmtheory.testing.contracts.datamodels import (
    DATAMODEL,
    check_datamodel_estimator,
)
from dmtheory.testing.contracts.derivatives import DERIVATIVE, check_derivative
from dmtheory.testing.contracts.problems import PROBLEM, check_problem
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

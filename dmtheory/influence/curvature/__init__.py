"""Curvature of the objective: matrices when small, matrix-vector products always.

All rules are in units of J, the regulariser's curvature included; damping is added
last, by the solver, the same for all.
"""

from dmtheory.influence.curvature.base import Curvature, CurvatureOperator
from dmtheory.influence.curvature.effective import effective_parameters
from dmtheory.influence.curvature.hessian import ExactHessian
from dmtheory.influence.curvature.kronecker import EKFAC, KFAC
from dmtheory.influence.curvature.outer_products import (
    EmpiricalFisher,
    Fisher,
    GaussNewton,
)

__all__ = [
    "EKFAC",
    "KFAC",
    "Curvature",
    "CurvatureOperator",
    "EmpiricalFisher",
    "ExactHessian",
    "Fisher",
    "GaussNewton",
    "effective_parameters",
]

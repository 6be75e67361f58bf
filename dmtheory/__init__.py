"""Datamodels, response derivatives and influence, in one unit, with uncertainty.

The package estimates three answers to "which training data made the model do this?"
for the same training procedure, and says how they agree:

- `fit_datamodel`: retrain on random subsets, regress outputs on masks;
- `response_derivative`: dF/dw_i of the expected output;
- `influence`: differentiate the trained model.

All three return an `Attribution` in the same unit and sign; `agreement` compares two,
`lds` scores them on held-out subsets.
"""

from dmtheory import data, designs, problems
from dmtheory.agreement.agreement import Agreement, agreement
from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import LDS, lds, lds_table
from dmtheory.agreement.prediction import held_out_prediction
from dmtheory.agreement.scale_free import ScaleCheck, scale_free
from dmtheory.attribution import Attribution
from dmtheory.datamodels.estimators.difference import DifferenceOfMeans
from dmtheory.datamodels.estimators.ols import OLS
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.estimators.selection import HeldOut, KFold
from dmtheory.datamodels.estimators.target_blocks import TargetBlocks
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.datamodels.inference.budget import (
    Correlation,
    Score,
    StandardError,
    models_needed,
)
from dmtheory.datamodels.inference.debiasing import debiased
from dmtheory.datamodels.inference.discoveries import discoveries
from dmtheory.datamodels.inference.stopping import Collected, Look, collect_until
from dmtheory.datamodels.lasso.lasso import Lasso
from dmtheory.derivatives.along import Directions, Examples, Groups
from dmtheory.derivatives.averages.averaged import AveragedDerivative, ByInfluence
from dmtheory.derivatives.averages.subset_average import OwnWeight, Trapezoid
from dmtheory.derivatives.cost import cost_table
from dmtheory.derivatives.curve import response_curve
from dmtheory.derivatives.diagonal import diagonal_derivatives
from dmtheory.derivatives.differences.finite_difference import (
    FiniteDifference,
    finite_differences,
)
from dmtheory.derivatives.differences.ladder import Ladder
from dmtheory.derivatives.differences.leave_one_out import leave_one_out
from dmtheory.derivatives.differences.random_directions import RandomDirections
from dmtheory.derivatives.differences.stencils import Central, Forward, Richardson
from dmtheory.derivatives.implicit import Implicit
from dmtheory.derivatives.method import DerivativeMethod
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.derivatives.through_training.modes import ForwardMode, ReverseMode
from dmtheory.derivatives.through_training.pathwise import Pathwise
from dmtheory.engines.local import process_pool
from dmtheory.estimand import Estimand, Point, expected_slope
from dmtheory.influence import solvers
from dmtheory.influence.baselines.gradient_product import (
    gradient_cosine,
    gradient_product,
)
from dmtheory.influence.baselines.representer import representer
from dmtheory.influence.baselines.self_influence import self_influence
from dmtheory.influence.baselines.tracin import tracin
from dmtheory.influence.baselines.training_path import TrainingPath, training_path
from dmtheory.influence.baselines.trak import trak
from dmtheory.influence.classical import influence
from dmtheory.influence.curvature import (
    EKFAC,
    KFAC,
    EmpiricalFisher,
    ExactHessian,
    Fisher,
    GaussNewton,
)
from dmtheory.influence.damping import DampingChoice, DampingScore, choose_damping
from dmtheory.influence.gap.influence_gap import InfluenceGap, influence_gap
from dmtheory.influence.gap.pbrf import ProximalBregman, proximal_response
from dmtheory.influence.removing.removals import leave_out
from dmtheory.influence.removing.rules import (
    FirstOrder,
    LeverageCorrected,
    NewtonStep,
    SecondOrder,
)
from dmtheory.responses.collect import collect
from dmtheory.responses.responses import Responses, load_responses

__version__ = "0.1.0"

__all__ = [
    "EKFAC",
    "KFAC",
    "LDS",
    "OLS",
    "Agreement",
    "Attribution",
    "AveragedDerivative",
    "ByInfluence",
    "Central",
    "Collected",
    "Correlation",
    "DampingChoice",
    "DampingScore",
    "DerivativeMethod",
    "DifferenceOfMeans",
    "Directions",
    "EmpiricalFisher",
    "Estimand",
    "ExactHessian",
    "Examples",
    "FiniteDifference",
    "FirstOrder",
    "Fisher",
    "Forward",
    "ForwardMode",
    "GaussNewton",
    "Groups",
    "HeldOut",
    "Implicit",
    "InfluenceGap",
    "Interval",
    "KFold",
    "Ladder",
    "Lasso",
    "LeverageCorrected",
    "Look",
    "NewtonStep",
    "OwnWeight",
    "Pathwise",
    "Point",
    "ProximalBregman",
    "RandomDirections",
    "Responses",
    "ReverseMode",
    "Richardson",
    "Ridge",
    "ScaleCheck",
    "Score",
    "SecondOrder",
    "StandardError",
    "TargetBlocks",
    "TrainingPath",
    "Trapezoid",
    "__version__",
    "agreement",
    "choose_damping",
    "collect",
    "collect_until",
    "cost_table",
    "data",
    "debiased",
    "designs",
    "diagonal_derivatives",
    "discoveries",
    "expected_slope",
    "finite_differences",
    "fit_datamodel",
    "gradient_cosine",
    "gradient_product",
    "held_out_prediction",
    "influence",
    "influence_gap",
    "lds",
    "lds_table",
    "leave_one_out",
    "leave_out",
    "load_responses",
    "models_needed",
    "problems",
    "process_pool",
    "proximal_response",
    "representer",
    "response_curve",
    "response_derivative",
    "scale_free",
    "self_influence",
    "solvers",
    "tracin",
    "training_path",
    "trak",
]

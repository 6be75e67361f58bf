"""How many parameters the penalty leaves free."""

import torch
from torch.func import hessian

from dmtheory.influence.at_models.gradients import prediction_jacobian
from dmtheory.influence.curvature.hessian import ExactHessian
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.weighting import normaliser


def effective_parameters(problem: DifferentiableProblem, *, at: float = 1.0) -> float:
    """Return tr(H_data H^-1) at w = at·1: how many parameters the penalty leaves free.

    H is the Hessian of J, H_data the part of its losses.
    """
    weights = torch.full((1, problem.description.n_train), at, dtype=torch.float64)
    params = problem.fit(weights, torch.zeros(1, dtype=torch.int64)).params[0]
    scale = normaliser(weights, problem.description.normalisation)
    jacobian = prediction_jacobian(problem, params)
    matrix = ExactHessian().matrix(problem, params, weights[0] * scale, jacobian)
    penalty = hessian(problem.penalty)(params)
    return torch.trace(torch.linalg.solve(matrix, matrix - penalty)).item()

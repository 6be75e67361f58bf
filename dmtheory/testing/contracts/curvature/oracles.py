"""Dense curvature matrices, written out by autodiff and by formula."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import hessian, jacrev

from dmtheory.testing.strategies.networks import ParameterCase


def _losses(case: ParameterCase) -> Callable[[Tensor], Tensor]:
    problem = case.problem
    return lambda theta: problem.prediction_losses(problem.predictions(theta))


def _hessian(case: ParameterCase) -> Tensor:
    losses = _losses(case)
    return hessian(lambda theta: case.scaled_weights @ losses(theta))(
        case.params
    ) + _penalty(case)


def _gauss_newton(case: ParameterCase) -> Tensor:
    """sum_j w_j/W K_j' M_j K_j: M_j is 1, or diag(p) - pp' at the probabilities p."""
    z, jacobian = _predictions(case)
    blocks = torch.ones(len(z), 1, 1).double()
    if case.classes:
        chances = torch.softmax(z, 1)
        blocks = torch.diag_embed(chances) - chances[:, :, None] * chances[:, None, :]
    parts = jacobian.mT @ blocks @ jacobian
    return torch.einsum("j,jpq->pq", case.scaled_weights, parts) + _penalty(case)


def _fisher(case: ParameterCase) -> Tensor:
    """E over labels drawn from the model of grad l grad l'."""
    z, jacobian = _predictions(case)
    if not case.classes:  # unit normal noise: the score has variance 1
        return _gauss_newton(case)
    chances = torch.softmax(z, 1)
    slopes = chances[:, None, :] - torch.eye(z.shape[1]).double()  # by label
    forces = torch.einsum("jyc,jcp->jyp", slopes, jacobian)
    parts = torch.einsum("jy,jyp,jyq->jpq", chances, forces, forces)
    return torch.einsum("j,jpq->pq", case.scaled_weights, parts) + _penalty(case)


def _empirical_fisher(case: ParameterCase) -> Tensor:
    forces = jacrev(_losses(case))(case.params)
    return forces.T @ (case.scaled_weights[:, None] * forces) + _penalty(case)


def _predictions(case: ParameterCase) -> tuple[Tensor, Tensor]:
    predict = case.problem.predictions
    return predict(case.params).detach(), jacrev(predict)(case.params).detach()


def _penalty(case: ParameterCase) -> Tensor:
    return case.ridge * torch.eye(len(case.params)).double()


DENSE: dict[str, Callable[[ParameterCase], Tensor]] = {
    "hessian": _hessian,
    "gauss-newton": _gauss_newton,
    "fisher": _fisher,
    "empirical-fisher": _empirical_fisher,
}

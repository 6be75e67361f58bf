"""Losses as functions of predictions: slopes, second derivatives, and likelihoods."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, jvp, vmap

from dmtheory.problems.base import DifferentiableProblem


def loss_slopes(
    problem: DifferentiableProblem, predictions: Float[Tensor, "train classes"]
) -> Float[Tensor, "train classes"]:
    """Return dl_j/dz_j of every example.

    l_j depends on its own prediction alone, so one gradient has them all.
    """
    return grad(lambda z: problem.prediction_losses(z).sum())(predictions)


def loss_hessians(
    problem: DifferentiableProblem, predictions: Float[Tensor, "train classes"]
) -> Float[Tensor, "train classes classes"]:
    """Return d^2 l_j / dz_j^2 of every example.

    l_j depends on z_j alone, so the Hessian-vector product of sum_j l_j with the same
    unit vector in every row reads off one column of every block.
    """

    def column(unit: Tensor) -> Tensor:
        rows = unit.expand_as(predictions)
        return jvp(lambda z: loss_slopes(problem, z), (predictions,), (rows,))[1]

    basis = torch.eye(predictions.shape[1]).to(predictions)
    return vmap(column)(basis).permute(1, 2, 0)


@runtime_checkable
class Likelihood(Protocol):
    """A problem whose loss is minus a log-likelihood of labels given predictions."""

    @property
    def n_labels(self) -> int | None:
        """Number of classes; None for real responses of unit variance."""
        ...

    def label_losses(
        self, predictions: Float[Tensor, "rows classes"], labels: Tensor
    ) -> Float[Tensor, " rows"]:
        """Return -log p(label | prediction), up to a constant for real responses."""
        ...


def predictive_roots(
    problem: DifferentiableProblem, predictions: Float[Tensor, "train classes"]
) -> Float[Tensor, "train classes labels"]:
    """Return columns sqrt(p_jy) dl_j(y)/dz_j over the labels y.

    Their outer products sum to E_y[dl dl'], the expectation over the model's own
    predictive distribution, which has no more values than that for classes. For real
    responses of unit variance y = z - 1 and z + 1, with probability 1/2 each, have the
    same second moments.

    Raises:
        ValueError: If the loss is no such log-likelihood.
    """
    likelihood = _likelihood(problem)
    n_labels = likelihood.n_labels
    _check_likelihood(likelihood, predictions)
    columns = []
    if n_labels is None:
        for step in (-1.0, 1.0):
            y = predictions.squeeze(-1).detach() + step
            columns.append(0.5**0.5 * _slopes(likelihood, predictions, y))
    else:
        for label in range(n_labels):
            y = torch.full_like(predictions[:, 0], label, dtype=torch.int64)
            chance = torch.exp(-likelihood.label_losses(predictions, y))
            columns.append(chance.sqrt()[:, None] * _slopes(likelihood, predictions, y))
    return torch.stack(columns, 2)


def _slopes(likelihood: Likelihood, predictions: Tensor, labels: Tensor) -> Tensor:
    return grad(lambda z: likelihood.label_losses(z, labels).sum())(predictions)


def _likelihood(problem: DifferentiableProblem) -> Likelihood:
    if isinstance(problem, Likelihood):
        return problem
    raise ValueError(
        "problem must have `n_labels` and `label_losses` for the Fisher's exact "
        f"expectation, but {type(problem).__name__} has none: use GaussNewton(), which "
        "is equal for cross-entropy and squared error"
    )


def _check_likelihood(likelihood: Likelihood, predictions: Tensor) -> None:
    """Raise ValueError unless the loss is a log-likelihood, by a few predictions."""
    n_outputs, device = predictions.shape[1], predictions.device
    z = torch.arange(4 * n_outputs, dtype=predictions.dtype, device=device)
    z = torch.sin(z).unflatten(0, (4, n_outputs))
    if likelihood.n_labels is not None:
        labels = torch.arange(likelihood.n_labels, device=device)[:, None].expand(-1, 4)
        found = sum(torch.exp(-likelihood.label_losses(z, y)) for y in labels)
        expected = torch.ones_like(z[:, 0])
    else:
        steps = torch.tensor([-2.0, -1.0, 1.0, 2.0]).to(z)
        least = likelihood.label_losses(z, z[:, 0])
        found = likelihood.label_losses(z, z[:, 0] + steps) - least
        expected = 0.5 * steps.square()
    if not torch.allclose(torch.as_tensor(found), expected, rtol=1e-5, atol=1e-5):
        raise ValueError(
            "loss must be minus a log-likelihood (cross-entropy without label "
            "smoothing, or half the squared error) for the Fisher's expectation: use "
            "GaussNewton()"
        )

"""Attributions of enumerable problems, without sampling error."""

import torch
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.estimand import Estimand, Point
from dmtheory.problems.base import Problem
from dmtheory.problems.set_functions import SampleMean


def exact_attribution(
    problem: Problem, scores: Tensor, *, quantity: str, point: Point, method: str
) -> Attribution:
    """Return exactly known scores as an attribution of the problem."""
    description = problem.description
    return Attribution(
        scores=scores,
        stderr=torch.zeros_like(scores),
        estimand=Estimand(
            quantity=quantity,
            point=point,
            output=description.output,
            normalisation=description.normalisation,
            step_policy=description.step_policy,
            problem=description.digest,
        ),
        train_labels=description.train_labels,
        target_labels=description.target_labels,
        n_train=description.n_train,
        method=method,
    )


def largest_error(a: Attribution, b: Attribution) -> float:
    """Return the largest absolute difference between two attributions."""
    return (a.scores - b.scores).abs().max().item()


def norm_wise_error(a: Tensor, b: Tensor) -> float:
    """Return the largest over targets of |a - b| / |b|, norms over examples."""
    return ((a - b).norm(dim=0) / b.norm(dim=0)).max().item()


def sample_mean_derivative(problem: SampleMean) -> Attribution:
    """Return the closed form g_i(1) = (y_i - mean)/N."""
    values = problem.values
    return exact_attribution(
        problem,
        ((values - values.mean()) / len(values))[:, None],
        quantity="response derivative",
        point=Point("weights", 1.0),
        method="closed form (y_i - mean)/N",
    )

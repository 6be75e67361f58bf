"""Self-influence: how an example's weight moves its own loss."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.derivatives.method import At
from dmtheory.influence.arguments import (
    check_curvature,
    check_damping,
    check_differentiable,
)
from dmtheory.influence.at_models.linearised import Linearised, linearised, scale_of
from dmtheory.influence.at_models.trained_models import check_fixed_steps, models_at
from dmtheory.influence.curvature import Curvature, ExactHessian
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.responses.collect import Progress


def self_influence(
    problem: DifferentiableProblem,
    *,
    curvature: Curvature = ExactHessian(),  # noqa: B008 -- frozen, without state
    damping: float = 0.0,
    at: At = 1.0,
    n_seeds: int = 1,
    seed: int = 0,
    parameters: Tensor | None = None,
    progress: Progress | None = None,
) -> Attribution:
    r"""Estimate d l_i/dw_i at trained models, a single column "own loss".

    -(1/W) grad l_i' (H + damping I)^-1 grad l_i, under `sum` with the motion of the
    divisor. Per weight, and positive where more weight raises the own loss: so it is
    negative but for that motion, and most negative where a model remembers an example
    that it would not have learnt from the others. For least squares it is -h_i r_i^2,
    with h_i the leverage and r_i the residual. Others report minus N times this.

    Args:
        problem: A differentiable problem that trains with fixed steps in float64.
        curvature: The exact Hessian or the Gauss-Newton matrix.
        damping: Added to the curvature of J, in its units, >= 0.
        at: The point w, or a subset law to average over the models of its subsets.
        n_seeds: Trained models at a fixed point; one where training is deterministic.
        seed: The experiment's seed.
        parameters: One trained parameter vector a model; nothing is trained then.
        progress: Called with 1 after each model.

    Returns:
        Scores [train, 1] of the output "own loss".

    Raises:
        ValueError: If an argument is out of range, or the damped curvature is not
            positive definite.

    References:
        Feldman and Zhang 2020, What neural networks memorize and why, section 2; Koh
        and Liang 2017, section 5.4.
    """
    check_differentiable(problem)
    check_fixed_steps(problem.description, "influence")
    check_curvature(curvature)
    check_damping(damping)
    models = models_at(
        problem, at=at, n_seeds=n_seeds, seed=seed, parameters=parameters
    )

    def one(params: Tensor, weights: Tensor) -> Tensor:
        model = linearised(
            problem, params, weights, curvature=curvature, damping=damping
        )
        return _own_derivatives(model)[:, None]

    return models.attribution(
        models.each(one, progress),
        replace(problem.description, output="own loss", target_labels=("own loss",)),
        quantity="influence",
        method=f"{curvature.name}, damping {damping:g}",
    )


def _own_derivatives(model: Linearised) -> Float[Tensor, " train"]:
    """Return d l_i/dw_i = -grad l_i' H^-1 d(grad J)/dw_i."""
    gradients = model.gradients
    forces = gradients
    if model.problem.description.normalisation == "sum":
        scale = scale_of(model.problem, model.weights)
        forces = gradients - scale * (model.weights @ gradients)
    toward = model.solve(gradients.T).T
    return -scale_of(model.problem, model.weights) * torch.einsum(
        "jp,jp->j", toward, forces
    )

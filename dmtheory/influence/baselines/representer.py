"""Representer points: an output as a sum over the training examples."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad

from dmtheory.attribution import Attribution
from dmtheory.derivatives.method import At
from dmtheory.influence.at_models.gradients import example_gradients, target_gradients
from dmtheory.influence.at_models.linearised import scaled_weights
from dmtheory.influence.at_models.trained_models import models_at
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.responses.collect import Progress

# Largest sum of the parts' errors beside the parameters' own size.
_STATIONARY = 1e-5


def representer(
    problem: DifferentiableProblem,
    *,
    at: At = 1.0,
    n_seeds: int = 1,
    seed: int = 0,
    parameters: Tensor | None = None,
    progress: Progress | None = None,
) -> Attribution:
    r"""Split the output into -(w_i/(ridge W)) grad f' grad l_i, one part an example.

    At a stationary point of (1/W) sum_j w_j l_j + ridge/2 |theta|^2 the parameters are
    theta = -(1/(ridge W)) sum_i w_i grad l_i, so the parts sum to grad f' theta: to f
    itself where f is linear in the parameters, such as a logit or the margin of two
    classes or a prediction; of a linear model the part is alpha_i x_i' x. Positive: the
    example holds the output up. A part is what an example contributes to the sum, not
    what its absence would change: no derivative of F, and in units of f for its whole
    weight.

    Of a network take the last layer: a `SoftmaxRegression` on its features.

    Args:
        problem: A problem with the penalty ridge/2 |theta|^2 that trains to a
            stationary point, in float64.
        at: The point w, or a subset law to average over the models of its subsets.
        n_seeds: Trained models at a fixed point; one where training is deterministic.
        seed: The experiment's seed.
        parameters: One trained parameter vector a model; nothing is trained then.
        progress: Called with 1 after each model.

    Returns:
        Parts with standard errors over models.

    Raises:
        ValueError: If the penalty is another, or the parameters are not stationary.

    References:
        Yeh, Kim, Yen, Ravikumar 2018, Representer point selection for explaining deep
        neural networks, theorem 3.1.
    """
    models = models_at(
        problem, at=at, n_seeds=n_seeds, seed=seed, parameters=parameters
    )

    def one(params: Tensor, weights: Tensor) -> Tensor:
        scaled = scaled_weights(problem, weights)
        parts = -scaled[:, None] * example_gradients(problem, params)
        parts = parts / ridge_of(problem, params)
        error = (parts.sum(0) - params).norm() / params.norm().clamp_min(1e-300)
        if error > _STATIONARY:
            raise ValueError(
                "parameters must be a stationary point of the objective for a "
                f"representer, got a sum that is off by {error:.2g} of them: train to "
                "convergence, or take a linear model on the network's features"
            )
        return parts @ target_gradients(problem, params).T

    return models.attribution(
        models.each(one, progress),
        problem.description,
        quantity="representer",
        method="representer, parts of the output",
    )


def ridge_of(problem: DifferentiableProblem, params: Float[Tensor, " params"]) -> float:
    """Return ridge of the penalty ridge/2 |theta|^2.

    Raises:
        ValueError: If the penalty is another, or none.
    """
    # At a place of our own: the given one may be zero.
    place = torch.ones_like(params)
    slope = grad(problem.penalty)(place)
    ridge = slope[0].item()
    if not ridge > 0 or bool(((slope - ridge).abs() > 1e-12 * ridge).any()):
        raise ValueError(
            "problem must have the penalty ridge/2 |theta|^2 with ridge > 0 for a "
            f"representer, got slopes {slope.min().item():g} to "
            f"{slope.max().item():g} at theta = 1: give it a ridge"
        )
    return ridge

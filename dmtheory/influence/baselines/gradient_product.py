"""Gradient products and cosines: influence without curvature, as baselines."""

from jaxtyping import Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.derivatives.method import At
from dmtheory.influence.at_models.gradients import example_gradients, target_gradients
from dmtheory.influence.at_models.linearised import scale_of
from dmtheory.influence.at_models.trained_models import check_fixed_steps, models_at
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.responses.collect import Progress


def gradient_product(
    problem: DifferentiableProblem,
    *,
    at: At = 1.0,
    n_seeds: int = 1,
    seed: int = 0,
    parameters: Tensor | None = None,
    progress: Progress | None = None,
) -> Attribution:
    r"""Score examples by -(1/W) grad f' grad l_i: influence with H = I.

    Under `sum` the divisor's motion is in it too. It is the derivative, per weight, of
    the output after one more full-batch gradient step of size 1 on J, to first order in
    that step: so ranks and signs can agree with a derivative of F, the size cannot.

    Args:
        problem: A differentiable problem in float64.
        at: The point w, or a subset law to average over the models of its subsets.
        n_seeds: Trained models at a fixed point; one where training is deterministic.
        seed: The experiment's seed.
        parameters: One trained parameter vector a model; nothing is trained then.
        progress: Called with 1 after each model.

    Returns:
        Scores with standard errors over models.

    Raises:
        ValueError: If an argument is out of range.

    References:
        Charpiat et al. 2019, Input similarity from the neural network perspective,
        section 2.
    """
    check_fixed_steps(problem.description, "gradient products")
    models = models_at(
        problem, at=at, n_seeds=n_seeds, seed=seed, parameters=parameters
    )

    def one(params: Tensor, weights: Tensor) -> Tensor:
        return -forces(problem, params, weights) @ target_gradients(problem, params).T

    return models.attribution(
        models.each(one, progress),
        problem.description,
        quantity="gradient product",
        method="gradient product, a step of size 1",
    )


def gradient_cosine(
    problem: DifferentiableProblem,
    *,
    at: At = 1.0,
    n_seeds: int = 1,
    seed: int = 0,
    parameters: Tensor | None = None,
    progress: Progress | None = None,
) -> Attribution:
    """Score examples by the cosine of -grad l_i and grad f; 0 where either vanishes.

    It has no unit: only ranks within a target can agree with a derivative of F.

    Args:
        problem: A differentiable problem in float64.
        at: The point w, or a subset law to average over the models of its subsets.
        n_seeds: Trained models at a fixed point; one where training is deterministic.
        seed: The experiment's seed.
        parameters: One trained parameter vector a model; nothing is trained then.
        progress: Called with 1 after each model.

    Returns:
        Cosines averaged over models, with standard errors.

    Raises:
        ValueError: If an argument is out of range.
    """
    models = models_at(
        problem, at=at, n_seeds=n_seeds, seed=seed, parameters=parameters
    )

    def one(params: Tensor, weights: Tensor) -> Tensor:
        gradients = example_gradients(problem, params)
        toward = target_gradients(problem, params)
        sizes = gradients.norm(dim=1)[:, None] * toward.norm(dim=1)
        return -gradients @ toward.T / sizes.clamp_min(1e-300)

    return models.attribution(
        models.each(one, progress),
        problem.description,
        quantity="gradient product",
        method="gradient cosine, without unit",
    )


def forces(
    problem: DifferentiableProblem,
    params: Float[Tensor, " params"],
    weights: Float[Tensor, " train"],
) -> Float[Tensor, "train params"]:
    """Return d(grad J)/dw_i: (1/W) grad l_i, under `sum` with the divisor's motion."""
    gradients, scale = example_gradients(problem, params), scale_of(problem, weights)
    if problem.description.normalisation == "sum":
        gradients = gradients - scale * (weights @ gradients)
    return scale * gradients

"""TRAK and gradient products of given models, a chunk of examples at a time.

`trak` and `gradient_product` hold the gradients of all examples: 96 GB a model at
50,000 images and 240,000 parameters. Here a chunk of them is made, projected or
multiplied, and forgotten; the numbers are the same to rounding.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least
from dmtheory.derivatives.method import At
from dmtheory.designs.seeds import Purpose, check_seed, random_words
from dmtheory.influence.arguments import check_damping
from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.at_models.gradients import target_gradients
from dmtheory.influence.at_models.linearised import scale_of
from dmtheory.influence.at_models.rows import Rows, rows_of
from dmtheory.influence.at_models.trained_models import check_fixed_steps, models_at
from dmtheory.influence.baselines.trak import SAME_LOSS, linearised_product
from dmtheory.influence.curvature.losses import loss_slopes
from dmtheory.problems.base import DifferentiableProblem

# Columns of signs that are drawn at a time.
_STRIP = 64
# Numbers that a backward pass takes for each that the forward pass keeps.
_COPIES = 4


def trak_in_chunks(
    problem: DifferentiableProblem,
    *,
    dimension: int,
    parameters: Tensor,
    damping: float = 0.0,
    at: At = 1.0,
    projection_seed: int = 0,
    memory: int = 2**30,
) -> Attribution:
    r"""Return what `trak` does, without the gradients of all examples at once.

    Beside a chunk it holds the signs P [params, dimension], the projected gradients
    [train, dimension] and the scores of every model, in float64.

    Args:
        problem: A differentiable problem that answers for some of its examples alone.
        dimension: Columns of the random signs P, new ones for each model; no
            projection from the number of parameters on.
        parameters: One trained parameter vector a model; all is done on their device.
        damping: Added to the kernel divided by N, >= 0.
        at: The point w that the models were trained at.
        projection_seed: Seed of the signs, those of `trak`.
        memory: Bytes that a chunk of gradients may take, at least 2^20.

    Returns:
        Scores; their standard errors are first order in both averages.

    Raises:
        ValueError: If an argument is out of range, the loss is no function of a margin,
            or the kernel is singular.

    References:
        Park, Georgiev, Ilyas, Leclerc, Madry 2023, TRAK, equations 14 and 17.
    """
    check_fixed_steps(problem.description, "TRAK")
    check_damping(damping)
    check_seed(projection_seed)
    check_at_least(dimension, 1, "dimension")
    budget = Budget(memory)
    models = models_at(problem, at=at, parameters=parameters)
    rows = rows_of(problem, parameters.device)
    kernels, residuals = [], []
    for k, (params, weights) in enumerate(
        zip(models.params, models.weights.to(models.params), strict=True)
    ):
        directions, residual = _margin_directions(problem, rows, params, budget)
        signs = _signs(projection_seed, k, dimension, params)
        chunks = _pulled(rows, params, directions, budget)
        toward = target_gradients(problem, params)
        if signs is None:
            features = torch.cat(list(chunks))
        else:
            features = torch.cat([chunk @ signs for chunk in chunks])
            toward = toward @ signs
        kernels.append(_kernel(features, toward, weights, damping).cpu())
        residuals.append(residual[:, None].cpu())
    return models.attribution(
        linearised_product(torch.stack(kernels), torch.stack(residuals)),
        problem.description,
        quantity="TRAK",
        method=f"TRAK, {dimension} dimensions, damping {damping:g}",
    )


def gradient_product_in_chunks(
    problem: DifferentiableProblem,
    *,
    parameters: Tensor,
    at: At = 1.0,
    memory: int = 2**30,
) -> Attribution:
    r"""Return what `gradient_product` does, without all gradients at once.

    Args:
        problem: A differentiable problem that answers for some of its examples alone.
        parameters: One trained parameter vector a model; all is done on their device.
        at: The point w that the models were trained at.
        memory: Bytes that a chunk of gradients may take, at least 2^20.

    Returns:
        Scores with standard errors over models.

    Raises:
        ValueError: If an argument is out of range.
    """
    check_fixed_steps(problem.description, "gradient products")
    budget = Budget(memory)
    models = models_at(problem, at=at, parameters=parameters)
    rows = rows_of(problem, parameters.device)

    def one(params: Tensor, weights: Tensor) -> Tensor:
        slopes = loss_slopes(problem, rows.predictions(params, budget))
        toward = target_gradients(problem, params).T
        parts = [chunk @ toward for chunk in _pulled(rows, params, slopes, budget)]
        products, scale = torch.cat(parts), scale_of(problem, weights)
        if problem.description.normalisation == "sum":
            products = products - scale * (weights.to(products) @ products)
        return (-scale * products).cpu()

    return models.attribution(
        models.each(one),
        problem.description,
        quantity="gradient product",
        method="gradient product, a step of size 1",
    )


def _kernel(
    features: Float[Tensor, "train features"],
    toward: Float[Tensor, "targets features"],
    weights: Float[Tensor, " train"],
    damping: float,
) -> Float[Tensor, "train targets"]:
    """Return phi_i' (sum_j w_j phi_j phi_j' + N damping I)^-1 phi(target).

    Everything stays on the features' device.

    Raises:
        ValueError: If the kernel is singular but for rounding.
    """
    gram = features.T @ (features * weights[:, None])
    gram.diagonal().add_(len(features) * damping)
    values = torch.linalg.eigvalsh(gram)
    if not values[0] > len(gram) * torch.finfo(gram.dtype).eps * values[-1]:
        raise ValueError(
            f"damping must make the kernel of {len(gram)} dimensions regular, got "
            f"{damping:g}: raise damping, or take a smaller dimension"
        )
    return features @ torch.linalg.solve(gram, toward.T)


def _margin_directions(
    problem: DifferentiableProblem,
    rows: Rows,
    params: Float[Tensor, " params"],
    budget: Budget,
) -> tuple[Float[Tensor, "train classes"], Float[Tensor, " train"]]:
    """Return what turns an example's Jacobian into grad f_i, and Q_i = -dl_i/df_i.

    Raises:
        ValueError: If there are several predictions and the loss is no cross-entropy.
    """
    predictions = rows.predictions(params, budget)
    slopes = loss_slopes(problem, predictions)
    if slopes.shape[1] == 1:
        return torch.ones_like(slopes), -slopes[:, 0]
    others = -slopes.amin(1)
    losses = problem.prediction_losses(predictions)
    if not torch.allclose(others, -torch.expm1(-losses), rtol=0, atol=SAME_LOSS):
        raise ValueError(
            "problem must have one prediction an example, or logits under "
            "cross-entropy without label smoothing, for TRAK: its loss is no function "
            "of a margin"
        )
    return -slopes / others.clamp_min(1e-300)[:, None], others


def _pulled(
    rows: Rows,
    params: Float[Tensor, " params"],
    cotangents: Float[Tensor, "train classes"],
    budget: Budget,
) -> Iterator[Float[Tensor, "some params"]]:
    """Yield each example's Jacobian times its cotangent, as many rows as fit."""
    size = budget.rows(len(params) + _COPIES * rows.entries_a_row(params))
    for part, _ in rows.chunks(size):
        yield rows.pulled(params, cotangents[part][:, :, None], part)[:, 0]


def _signs(
    seed: int, model: int, dimension: int, params: Float[Tensor, " params"]
) -> Float[Tensor, "params dimension"] | None:
    """Return the signs of `trak.random_signs`, drawn on the parameters' device.

    None from the number of parameters on, as there.
    """
    if dimension >= len(params):
        return None
    places = torch.arange(len(params), device=params.device)
    signs = params.new_empty(len(params), dimension)
    for start in range(0, dimension, _STRIP):
        columns = torch.arange(
            start, min(start + _STRIP, dimension), device=params.device
        )
        words = random_words(seed, Purpose.DIRECTION, columns + model * 2**32, places)
        signs[:, start : start + _STRIP] = (1 - 2 * (words >> 31)).T
    return signs

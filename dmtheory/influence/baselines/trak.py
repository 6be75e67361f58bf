"""TRAK: regress on projected gradients of the output, over several models."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least
from dmtheory.derivatives.method import At
from dmtheory.designs.seeds import Purpose, check_seed, random_words
from dmtheory.influence.arguments import check_damping
from dmtheory.influence.at_models.gradients import (
    prediction_jacobian,
    prediction_slopes,
    target_gradients,
)
from dmtheory.influence.at_models.trained_models import check_fixed_steps, models_at
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.responses.collect import Progress

# How near the slopes of a cross-entropy are to those of its margin.
SAME_LOSS = 1e-6


def trak(
    problem: DifferentiableProblem,
    *,
    dimension: int | None = None,
    damping: float = 0.0,
    at: At = 1.0,
    n_seeds: int = 1,
    seed: int = 0,
    projection_seed: int = 0,
    parameters: Tensor | None = None,
    progress: Progress | None = None,
) -> Attribution:
    r"""Score examples by phi(target)' (Phi'W Phi + N damping I)^-1 phi_i Q_i.

    Phi'W Phi is sum_j w_j phi_j phi_j', over the examples that a model was trained on.
    phi_i = P' grad f_i is the projected gradient of the example's own margin (of a
    regression its prediction) and Q_i = -dl_i/df_i, of cross-entropy one minus the
    probability of its class. Over models the kernel parts and the Q are averaged
    first and multiplied then, as the authors do.

    For squared errors of a linear model without ridge and without projection this is
    dF/dw_i, per weight. For classes the authors leave the curvature p (1 - p) out of
    the kernel: the scale is that of no derivative, and only ranks are meant.

    Args:
        problem: A differentiable problem in float64 whose predictions are one number,
            or logits under cross-entropy.
        dimension: Columns of the random signs P, new ones for each model; none and no
            projection by default or from the number of parameters on.
        damping: Added to the kernel divided by N, >= 0; needed where there are fewer
            examples of positive weight than dimensions.
        at: The point w, or a subset law for models of its subsets (the authors').
        n_seeds: Trained models at a fixed point; one where training is deterministic.
        seed: The experiment's seed.
        projection_seed: Seed of the signs.
        parameters: One trained parameter vector a model; nothing is trained then.
        progress: Called with 1 after each model.

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
    if dimension is not None:
        check_at_least(dimension, 1, "dimension")
    models = models_at(
        problem, at=at, n_seeds=n_seeds, seed=seed, parameters=parameters
    )
    kernels, residuals = [], []
    for k, (params, weights) in enumerate(
        zip(models.params, models.weights, strict=True)
    ):
        features, residual = output_features(problem, params)
        toward = target_gradients(problem, params)
        if dimension is not None and dimension < len(params):
            signs = random_signs(
                projection_seed, k, n_rows=len(params), n_columns=dimension
            )
            features, toward = features @ signs, toward @ signs
        kernels.append(_kernel(features, toward, weights, damping))
        residuals.append(residual[:, None])
        if progress is not None:
            progress(1)
    kept = "no projection" if dimension is None else f"{dimension} dimensions"
    return models.attribution(
        linearised_product(torch.stack(kernels), torch.stack(residuals)),
        problem.description,
        quantity="TRAK",
        method=f"TRAK, {kept}, damping {damping:g}",
    )


def output_features(
    problem: DifferentiableProblem, params: Float[Tensor, " params"]
) -> tuple[Float[Tensor, "train params"], Float[Tensor, " train"]]:
    """Return the gradient of each example's own output, and Q_i = -dl_i/df_i.

    The output is the prediction where there is one, else the margin of the example's
    own class, whose cross-entropy is log(1 + exp(-f)): dl_i/df_i = -(1 - p_i), and
    grad f_i = -grad l_i / (1 - p_i).

    Raises:
        ValueError: If there are several predictions and the loss is no cross-entropy.
    """
    jacobian = prediction_jacobian(problem, params)
    slopes = prediction_slopes(problem, params)
    if slopes.shape[1] == 1:
        return jacobian[:, 0], -slopes[:, 0]
    # dl/dz = p - e_y: its one negative entry is minus the chance of other classes.
    others = -slopes.amin(1)
    losses = problem.prediction_losses(problem.predictions(params))
    if not torch.allclose(others, -torch.expm1(-losses), rtol=0, atol=SAME_LOSS):
        raise ValueError(
            "problem must have one prediction an example, or logits under "
            "cross-entropy without label smoothing, for TRAK: its loss is no function "
            "of a margin"
        )
    directions = -slopes / others.clamp_min(1e-300)[:, None]
    return torch.einsum("jc,jcp->jp", directions, jacobian), others


def random_signs(
    seed: int, model: int, *, n_rows: int, n_columns: int
) -> Float[Tensor, "rows columns"]:
    """Return independent signs +1 and -1, the same for a seed and model anywhere."""
    columns: Int64[Tensor, " columns"] = torch.arange(n_columns) + model * 2**32
    words = random_words(seed, Purpose.DIRECTION, columns, torch.arange(n_rows))
    return (1 - 2 * (words >> 31)).double().T


def _kernel(
    features: Float[Tensor, "train features"],
    toward: Float[Tensor, "targets features"],
    weights: Float[Tensor, " train"],
    damping: float,
) -> Float[Tensor, "train targets"]:
    """Return phi_i' (sum_j w_j phi_j phi_j' + N damping I)^-1 phi(target)."""
    gram = features.T @ (features * weights[:, None])
    shift = len(features) * damping * torch.eye(len(gram)).to(gram)
    values = torch.linalg.eigvalsh(gram + shift)
    if not values[0] > len(gram) * torch.finfo(gram.dtype).eps * values[-1]:
        raise ValueError(
            f"damping must make the kernel of {len(gram)} dimensions regular, got "
            f"{damping:g}: raise damping, or take a dimension well below the "
            f"{int((weights > 0).sum())} examples of positive weight"
        )
    return features @ torch.linalg.solve(gram + shift, toward.T)


def linearised_product(
    kernels: Float[Tensor, "models train targets"],
    residuals: Float[Tensor, "models train 1"],
) -> Float[Tensor, "models train targets"]:
    """Return units whose mean is the product of the means, to first order each one's.

    A_m Q + A (Q_m - Q), with A and Q the means over models.
    """
    mean_kernel, mean_residual = kernels.mean(0), residuals.mean(0)
    return kernels * mean_residual + mean_kernel * (residuals - mean_residual)

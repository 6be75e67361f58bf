"""Classical influence: differentiate the trained model instead of retraining it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import vmap

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least, check_positive
from dmtheory.derivatives.response_derivative import from_units, point_of
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.perturbations import check_coordinates
from dmtheory.designs.seeds import model_seeds
from dmtheory.influence.curvature import (
    Curvature,
    ExactHessian,
)
from dmtheory.influence.gradients import (
    example_gradients,
    prediction_jacobian,
    target_gradients,
)
from dmtheory.problems.base import (
    Description,
    DifferentiableProblem,
    Factored,
)
from dmtheory.responses.collect import Progress
from dmtheory.weighting import normaliser

# Models are taken in chunks of about this many Jacobian or curvature entries.
_CHUNK_ENTRIES = 2**23


def influence(
    problem: DifferentiableProblem,
    *,
    curvature: Curvature = ExactHessian(),  # noqa: B008 -- frozen, without state
    damping: float = 0.0,
    at: float | Bernoulli = 1.0,
    n_seeds: int = 1,
    seed: int = 0,
    coordinates: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Attribution:
    r"""Estimate dF/dw_i by the implicit function theorem at trained models.

    tau_i(w) = -grad f' (H + damping I)^-1 grad l_i, at theta*(w), and per weight
    g_i = tau_i / N under `count`, g_i = (tau_i - sum_j w_j tau_j / W) / W under `sum`.
    Exact for converged convex problems without damping. Positive: more weight on the
    example raises the output.

    At a subset law it is the trapezoid rule for the bridge,
    (1/2) E[g_i(1_S) | i in S] + (1/2) E[g_i(1_S) | i not in S], over `at.n_models`
    subsets; at p = 1/2 the plain average.

    Args:
        problem: A differentiable problem.
        curvature: The exact Hessian or the Gauss-Newton matrix.
        damping: Added to the curvature of J, in its units, >= 0.
        at: The point w = at * 1, at > 0, or a subset law to average over, at `n_models`
            subsets of it (drawn with `seed`, not with the law's own).
        n_seeds: Trained models at a fixed point; one where training is deterministic.
        seed: The experiment's seed.
        coordinates: Which examples; all by default.
        progress: Called with 1 after each model.

    Returns:
        Scores per weight, with standard errors over models.

    Raises:
        ValueError: If damping is negative, a training did not converge, or the damped
            curvature is not positive definite.

    References:
        Koh and Liang 2017, equation 2.
    """
    if not damping >= 0:
        raise ValueError(f"damping must be >= 0, got {damping}")
    check_at_least(n_seeds, 1, "n_seeds")
    description = problem.description
    chosen = tuple(range(description.n_train) if coordinates is None else coordinates)
    check_coordinates(chosen, description.n_train)
    weights, seeds = _models_at(description, at, n_seeds, seed)
    units = weight_derivatives(
        problem, weights, seeds, curvature=curvature, damping=damping, progress=progress
    )
    if isinstance(at, Bernoulli):
        units = _trapezoid(units, weights, at.p)
    return from_units(
        units[:, list(chosen)],
        description,
        chosen,
        quantity="influence",
        point=point_of(at),
        n_models=len(weights),
        seed=seed
        if isinstance(at, Bernoulli) or not description.deterministic
        else None,
        method=f"{curvature.name}, damping {damping:g}, {len(weights)} model(s)",
    )


def _models_at(
    description: Description, at: float | Bernoulli, n_seeds: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Return the weights and seeds of the models whose influence is averaged."""
    if isinstance(at, Bernoulli):
        law, rows = replace(at, seed=seed), torch.arange(at.n_models)
        return law.weights(rows, description.n_train), law.seeds(rows)
    check_positive(at, "at")
    n_seeds = 1 if description.deterministic else n_seeds
    weights = torch.full((n_seeds, description.n_train), at, dtype=torch.float64)
    return weights, model_seeds(seed, torch.arange(n_seeds))


def weight_derivatives(
    problem: DifferentiableProblem,
    weights: Float[Tensor, "models train"],
    seeds: Int64[Tensor, " models"],
    *,
    curvature: Curvature = ExactHessian(),  # noqa: B008 -- frozen, without state
    damping: float = 0.0,
    progress: Progress | None = None,
) -> Float[Tensor, "models train targets"]:
    """Return g_i at each weight vector, from one trained model each.

    Args:
        problem: A differentiable problem.
        weights: One weight vector a model.
        seeds: One training seed a model.
        curvature: The exact Hessian or the Gauss-Newton matrix.
        damping: Added to the curvature of J.
        progress: Called with 1 after each model.

    Returns:
        Derivatives per weight.

    Raises:
        ValueError: If a training did not converge, or the damped curvature is not
            positive definite.
    """
    if problem.description.step_policy == "proportional":
        raise ValueError(
            "problem must train with fixed steps for influence: proportional steps "
            "know weights of 0 and 1 alone, so there is no derivative"
        )
    # A convex training ends with the factor that influence needs.
    exact = isinstance(curvature, ExactHessian) and damping == 0
    if exact and isinstance(problem, Factored):
        fit = problem.fit(weights, seeds, keep_factor=True)
    else:
        fit = problem.fit(weights, seeds)
    if fit.params.dtype != torch.float64:
        raise ValueError(
            f"problem must train in float64 for influence, got {fit.params.dtype}: say "
            "dtype=torch.float64"
        )
    if not bool(fit.converged.all()):
        raise ValueError(
            f"training must converge for influence, but {int((~fit.converged).sum())} "
            f"of {len(weights)} models did not"
        )
    scales = normaliser(weights, problem.description.normalisation)
    one_model = partial(_at_one_model, problem, curvature, damping)
    size = max(1, _CHUNK_ENTRIES // _entries_a_model(problem, fit.params))
    derivatives = []
    for block in torch.arange(len(weights)).split(size):
        factor = None if fit.factor is None else fit.factor[block]
        axes = 0, 0, 0, None if factor is None else 0
        found, failed = vmap(one_model, axes)(
            fit.params[block], weights[block], scales[block], factor
        )
        _check_positive_definite(failed, curvature, damping)
        derivatives.append(found)
        if progress is not None:
            progress(len(block))
    return torch.cat(derivatives)


def _at_one_model(
    problem: DifferentiableProblem,
    curvature: Curvature,
    damping: float,
    params: Tensor,
    weights: Tensor,
    scale: Tensor,
    factor: Float[Tensor, "params params"] | None,
) -> tuple[Float[Tensor, "train targets"], Tensor]:
    """Return g_i of every example on every target, and whether the factor failed."""
    jacobian = prediction_jacobian(problem, params)
    failed = torch.zeros((), dtype=torch.int32)
    if factor is None:
        matrix = curvature.matrix(problem, params, weights * scale, jacobian)
        matrix = matrix + damping * torch.eye(len(params), dtype=params.dtype)
        factor, failed = torch.linalg.cholesky_ex(matrix)
    toward = torch.cholesky_solve(target_gradients(problem, params).T, factor)
    tau = -example_gradients(problem, params, jacobian) @ toward
    if problem.description.normalisation == "sum":
        # The divisor W = sum_j w_j moves with w_i too.
        tau = tau - scale * (weights @ tau)
    return scale * tau, failed


def _entries_a_model(problem: DifferentiableProblem, params: Tensor) -> int:
    n_outputs = problem.predictions(params[0]).numel()
    return params.shape[1] * max(n_outputs, params.shape[1])


def _check_positive_definite(
    failed: Tensor, curvature: Curvature, damping: float
) -> None:
    if bool(failed.any()):
        raise ValueError(
            f"damping must make the {curvature.name} positive definite, but "
            f"damping {damping:g} leaves {int((failed > 0).sum())} of {len(failed)} "
            "models with negative or zero curvature: raise damping, or use the "
            "Gauss-Newton curvature"
        )


def _trapezoid(units: Tensor, weights: Tensor, p: float) -> Tensor:
    """Weight each model so that both ends of an example's own weight count half."""
    inside = (weights > 0).double()
    ends = 0.5 * (inside / p + (1 - inside) / (1 - p))
    return units * ends[:, :, None]

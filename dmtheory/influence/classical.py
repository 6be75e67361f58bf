"""Classical influence: differentiate the trained model instead of retraining it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least
from dmtheory.derivatives.averages.trapezoid import trapezoid_ends
from dmtheory.derivatives.method import At, resolved_point
from dmtheory.derivatives.units import from_units, point_of
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.perturbations import check_coordinates
from dmtheory.designs.seeds import model_seeds
from dmtheory.engines.devices import worker_device
from dmtheory.influence.arguments import check_differentiable
from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.at_models.many_models import Trained, derivatives
from dmtheory.influence.at_models.one_model import Rule
from dmtheory.influence.at_models.stored import stored_derivatives
from dmtheory.influence.at_models.trained_models import (
    check_double,
    check_fixed_steps,
    check_parameters,
)
from dmtheory.influence.curvature import Curvature, ExactHessian
from dmtheory.influence.solvers import Solver
from dmtheory.problems.base import Description, DifferentiableProblem, Factored
from dmtheory.responses.collect import Progress


def influence(
    problem: DifferentiableProblem,
    *,
    curvature: Curvature = ExactHessian(),  # noqa: B008 -- frozen, without state
    solver: Solver | None = None,
    damping: float = 0.0,
    at: At = 1.0,
    n_seeds: int = 1,
    seed: int = 0,
    coordinates: Sequence[int] | None = None,
    parameters: Tensor | None = None,
    store: Any = None,
    memory: int = 2**30,
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

    Everything runs on the device of the parameters, in chunks of examples and of
    targets; the numbers are the same to rounding, or to the solver's tolerance,
    whatever the chunks.

    Args:
        problem: A differentiable problem.
        curvature: The exact Hessian, Gauss-Newton, a Fisher, K-FAC or EK-FAC.
        solver: How the damped system is solved; by default as `chosen_solver` says, or
            by the factor that a convex training ends with.
        damping: Added to the curvature of J, in its units, >= 0.
        at: The point w: a common weight > 0, one weight an example, or a subset law
            to average over, at `n_models` subsets of it (drawn with `seed`, not with
            the law's own).
        n_seeds: Trained models at a fixed point; one where training is deterministic.
        seed: The experiment's seed.
        coordinates: Which examples; all by default.
        parameters: One parameter vector a model, trained elsewhere with weights `at`;
            nothing is trained then.
        store: Where finished blocks are kept, so that an interrupted call that is made
            again goes on: a path, a URL or a zarr store.
        memory: Bytes that a chunk may take, at least 2^20.
        progress: Called with the number of models that were just finished; with a
            store, of targets times models.

    Returns:
        Scores per weight, with standard errors over models; `method` says how well the
        systems were solved.

    Raises:
        ValueError: If an argument is out of range, a training did not converge, the
            damped curvature is not positive definite, or the solver misses the
            tolerance that it promises.

    References:
        Koh and Liang 2017, equation 2.
    """
    rule = Rule(
        curvature=curvature, damping=damping, solver=solver, budget=Budget(memory)
    )
    check_differentiable(problem)
    check_at_least(n_seeds, 1, "n_seeds")
    description = problem.description
    check_fixed_steps(description, "influence")
    chosen = tuple(range(description.n_train) if coordinates is None else coordinates)
    check_coordinates(chosen, description.n_train)
    point = resolved_point(at, description.n_train)
    if parameters is None:
        weights, seeds = _models_at(description, point, n_seeds, seed)
        trained = _train(problem, weights, seeds, rule)
    else:
        trained = _given(problem, parameters, point)
    if store is None:
        units, effort = derivatives(
            problem, trained, rule, torch.tensor(chosen), progress
        )
    else:
        plain = replace(trained, factor=None)
        units, effort = stored_derivatives(
            store, problem, plain, rule, chosen, progress
        )
    if isinstance(point, Bernoulli):
        masks = trained.weights[:, list(chosen)].cpu()
        units = units * trapezoid_ends(masks, point.p)[:, :, None]
    drawn = isinstance(point, Bernoulli) or not description.deterministic
    given = "given " if parameters is not None else ""
    found = from_units(
        units,
        description,
        chosen,
        quantity="influence",
        point=point_of(point),
        n_models=0 if given else len(trained),
        seed=seed if drawn and not given else None,
        method=f"{curvature.name}, damping {damping:g}, {effort}, {len(trained)} "
        f"{given}model(s)",
    )
    # One given model of many that might have been has an error that nobody knows.
    unknown = drawn and len(trained) == 1
    return replace(found, stderr=None) if unknown else found


def weight_derivatives(
    problem: DifferentiableProblem,
    weights: Float[Tensor, "models train"],
    seeds: Int64[Tensor, " models"],
    *,
    curvature: Curvature = ExactHessian(),  # noqa: B008 -- frozen, without state
    solver: Solver | None = None,
    damping: float = 0.0,
    memory: int = 2**30,
    progress: Progress | None = None,
) -> Float[Tensor, "models train targets"]:
    """Return g_i at each weight vector, from one trained model each.

    Args:
        problem: A differentiable problem.
        weights: One weight vector a model.
        seeds: One training seed a model.
        curvature: The rule of curvature.
        solver: How the damped system is solved; the cheapest by default.
        damping: Added to the curvature of J, >= 0.
        memory: Bytes that a chunk may take.
        progress: Called with the number of models that were just finished.

    Returns:
        Derivatives per weight.

    Raises:
        ValueError: If a training did not converge, or the damped curvature is not
            positive definite.
    """
    check_differentiable(problem)
    check_fixed_steps(problem.description, "influence")
    rule = Rule(
        curvature=curvature, damping=damping, solver=solver, budget=Budget(memory)
    )
    trained = _train(problem, weights, seeds, rule)
    every = torch.arange(problem.description.n_train)
    return derivatives(problem, trained, rule, every, progress)[0]


def _models_at(
    description: Description,
    point: Tensor | Bernoulli,
    n_seeds: int,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Return the weights and seeds of the models whose influence is averaged."""
    if isinstance(point, Bernoulli):
        law, rows = replace(point, seed=seed), torch.arange(point.n_models)
        return law.weights(rows, description.n_train), law.seeds(rows)
    n_seeds = 1 if description.deterministic else n_seeds
    return point.repeat(n_seeds, 1), model_seeds(seed, torch.arange(n_seeds))


def _train(
    problem: DifferentiableProblem, weights: Tensor, seeds: Tensor, rule: Rule
) -> Trained:
    # A convex training ends with the factor that influence needs.
    exact = isinstance(rule.curvature, ExactHessian) and rule.damping == 0
    device = worker_device() if weights.device.type == "cpu" else weights.device
    weights, seeds = weights.to(device), seeds.to(device)
    if exact and rule.solver is None and isinstance(problem, Factored):
        fit = problem.fit(weights, seeds, keep_factor=True)
    else:
        fit = problem.fit(weights, seeds)
    check_double(fit.params, "fit")
    if not bool(fit.converged.all()):
        raise ValueError(
            f"training must converge for influence, but {int((~fit.converged).sum())} "
            f"of {len(weights)} models did not"
        )
    return Trained(params=fit.params, weights=weights, factor=fit.factor)


def _given(
    problem: DifferentiableProblem, parameters: Tensor, point: Tensor | Bernoulli
) -> Trained:
    params = check_parameters(problem, parameters)
    if isinstance(point, Bernoulli):
        raise ValueError(
            "at must be a point where parameters are given, got a subset law: give "
            "the weights that they were trained with, one model a call"
        )
    return Trained(
        params=params, weights=point.repeat(len(params), 1).to(params.device)
    )

"""Influence at many small models at once, or at one after another."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import vmap

from dmtheory.influence.at_models.gradients import (
    example_gradients,
    prediction_jacobian,
    target_gradients,
)
from dmtheory.influence.at_models.one_model import Rule, at_model
from dmtheory.influence.curvature import (
    EmpiricalFisher,
    ExactHessian,
    Fisher,
    GaussNewton,
)
from dmtheory.influence.solvers import Dense
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.responses.collect import Progress
from dmtheory.weighting import normaliser

# Parameters up to which models are taken many at a time, without a factor.
_SMALL = 512
# Copies of a model's Jacobian or curvature in numbers.
_COPIES = 16
_AT_ONCE = (ExactHessian, GaussNewton, Fisher, EmpiricalFisher)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """Models with the weights that they belong to.

    Attributes:
        params: One parameter vector a model.
        weights: One weight vector a model.
        factor: Cholesky factors of J's Hessian, where training kept them.
    """

    params: Float[Tensor, "models params"]
    weights: Float[Tensor, "models train"]
    factor: Float[Tensor, "models params params"] | None = None

    def __len__(self) -> int:
        return len(self.params)

    def chunks(self, size: int) -> "Iterator[Trained]":
        """Yield at most `size` models at a time."""
        for block in torch.arange(len(self)).split(size):
            factor = None if self.factor is None else self.factor[block]
            yield Trained(
                params=self.params[block], weights=self.weights[block], factor=factor
            )


@dataclass(frozen=True, slots=True)
class Effort:
    """How the systems were solved.

    Attributes:
        solver: By what.
        residual: The largest |A x - b| / |b|; None where it was not measured.
        iterations: The most rounds of products.
    """

    solver: str
    residual: float | None = None
    iterations: int = 0

    def __str__(self) -> str:
        text = self.solver
        if self.residual is not None:
            text += f", residual at most {self.residual:.0e}"
        return text + (f", {self.iterations} iterations" if self.iterations else "")


def derivatives(
    problem: DifferentiableProblem,
    trained: Trained,
    rule: Rule,
    examples: Int64[Tensor, " examples"],
    progress: Progress | None = None,
) -> tuple[Float[Tensor, "models examples targets"], Effort]:
    """Return g_i of some examples at each model, on the CPU.

    Args:
        problem: Losses and outputs.
        trained: The models.
        rule: How.
        examples: Which.
        progress: Called with the number of models that were just finished.

    Raises:
        ValueError: If a damped curvature is not positive definite.
    """
    if _at_once(problem, trained, rule):
        return _small_ones(problem, trained, rule, examples, progress)
    n_targets = problem.description.n_targets
    found, worst, most, name = [], 0.0, 0, ""
    for params, weights in zip(trained.params, trained.weights, strict=True):
        model = at_model(problem, params, weights, rule)
        size = rule.targets_at_a_time(len(params), len(examples), n_targets)
        blocks = []
        for start in range(0, n_targets, size):
            targets = slice(start, min(start + size, n_targets))
            scores, solution = model.scores(targets, examples)
            blocks.append(scores.cpu())
            worst, most = max(worst, solution.worst), max(most, solution.iterations)
        found.append(torch.cat(blocks, 1))
        name = model.solver
        if progress is not None:
            progress(1)
    return torch.stack(found), Effort(name, worst, most)


def _at_once(problem: DifferentiableProblem, trained: Trained, rule: Rule) -> bool:
    """Return whether models are small enough to be taken many at a time."""
    if trained.factor is not None:
        return True
    return (
        (rule.solver is None or isinstance(rule.solver, Dense))
        and isinstance(rule.curvature, _AT_ONCE)
        and trained.params.shape[1] <= _SMALL
        and rule.budget.fits(_COPIES * _entries(problem, trained.params))
    )


def _entries(problem: DifferentiableProblem, params: Tensor) -> int:
    n_outputs = problem.predictions(params[0]).numel()
    return params.shape[1] * max(n_outputs, params.shape[1])


def _small_ones(
    problem: DifferentiableProblem,
    trained: Trained,
    rule: Rule,
    examples: Tensor,
    progress: Progress | None,
) -> tuple[Float[Tensor, "models examples targets"], Effort]:
    one_model = partial(_at_one_model, problem, rule)
    size = rule.budget.rows(_COPIES * _entries(problem, trained.params))
    found, worst = [], 0.0
    for some in trained.chunks(size):
        scales = normaliser(some.weights, problem.description.normalisation)
        axes = 0, 0, 0, None if some.factor is None else 0
        units, failed, residual = vmap(one_model, axes)(
            some.params, some.weights, scales, some.factor
        )
        _check_positive_definite(failed, rule)
        found.append(units[:, examples].cpu())
        worst = max(worst, residual.max().item())
        if progress is not None:
            progress(len(some))
    if trained.factor is not None:
        return torch.cat(found), Effort("the training's own factor")
    return torch.cat(found), Effort(Dense().name, worst)


def _at_one_model(
    problem: DifferentiableProblem,
    rule: Rule,
    params: Tensor,
    weights: Tensor,
    scale: Tensor,
    factor: Float[Tensor, "params params"] | None,
) -> tuple[Float[Tensor, "train targets"], Tensor, Tensor]:
    """Return g_i on every target, whether the factor failed, and the residual."""
    jacobian = prediction_jacobian(problem, params)
    toward = target_gradients(problem, params).T
    failed = torch.zeros((), dtype=torch.int32, device=params.device)
    residual = torch.zeros((), dtype=params.dtype, device=params.device)
    if factor is not None:
        solved = torch.cholesky_solve(toward, factor)
    else:
        matrix = rule.curvature.matrix(problem, params, weights * scale, jacobian)
        matrix = matrix + rule.damping * torch.eye(len(params)).to(params)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        solved = torch.cholesky_solve(toward, factor)
        size = toward.norm(dim=0).clamp_min(torch.finfo(toward.dtype).tiny)
        residual = ((matrix @ solved - toward).norm(dim=0) / size).max()
    tau = -example_gradients(problem, params, jacobian) @ solved
    if problem.description.normalisation == "sum":
        # The divisor W = sum_j w_j moves with w_i too.
        tau = tau - scale * (weights @ tau)
    return scale * tau, failed, residual


def _check_positive_definite(failed: Tensor, rule: Rule) -> None:
    if bool(failed.any()):
        raise ValueError(
            f"damping must make the {rule.curvature.name} positive definite, but "
            f"damping {rule.damping:g} leaves {int((failed > 0).sum())} of "
            f"{len(failed)} models with negative or zero curvature: raise damping, or "
            "use the Gauss-Newton curvature"
        )

"""Influence at one trained model, in chunks of examples and of targets."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import vjp

from dmtheory.influence.arguments import (
    check_curvature,
    check_damping,
    check_solver,
)
from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.at_models.rows import Rows, rows_of
from dmtheory.influence.at_models.targets import target_gradients
from dmtheory.influence.curvature import Curvature
from dmtheory.influence.curvature.losses import loss_slopes
from dmtheory.influence.solvers import Damped, Solution, Solver, chosen_solver
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.weighting import normaliser


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How influence is computed at a model.

    Attributes:
        curvature: The rule of curvature.
        damping: Added to it.
        solver: Of the damped system; the cheapest if None.
        budget: Memory of the chunks.
    """

    curvature: Curvature
    damping: float
    solver: Solver | None
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        check_curvature(self.curvature)
        check_damping(self.damping)
        check_solver(self.solver)

    def targets_at_a_time(self, n_params: int, n_rows: int, n_targets: int) -> int:
        """Return how many targets' gradients, solutions and scores fit."""
        return min(n_targets, self.budget.rows(12 * n_params + 2 * n_rows))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelInfluence:
    """g_i at one model: tau_i / N, or under `sum` (tau_i - sum_j w_j tau_j / W) / W.

    Attributes:
        problem: Losses and outputs.
        params: The model.
        scale: 1/W.
        slopes: dl_j/dz_j.
        total: sum_j w_j grad l_j / W under `sum`, zero under `count`.
        rows: The examples.
        inverse: Solves for (C + damping I)^-1.
        solver: The solver's name.
        budget: Memory of the chunks.
    """

    problem: DifferentiableProblem
    params: Float[Tensor, " params"]
    scale: float
    slopes: Float[Tensor, "train classes"]
    total: Float[Tensor, " params"]
    rows: Rows
    inverse: Callable[[Tensor], Solution]
    solver: str
    budget: Budget

    def scores(
        self, targets: slice, examples: Int64[Tensor, " examples"]
    ) -> tuple[Float[Tensor, "examples targets"], Solution]:
        """Return g_i of some examples on some targets, and how well it was solved."""
        toward = target_gradients(self.problem, self.params, targets).T
        found = self.inverse(toward)
        some = self.rows if self.rows.x is None else self.rows.some(examples)
        slopes = self.slopes if some is self.rows else self.slopes[examples]
        # A gradient an example, with what its backward pass keeps.
        numbers = 2 * len(self.params) + 8 * some.entries_a_row(self.params)
        parts = []
        for part, _ in some.chunks(self.budget.rows(numbers)):
            own = some.pulled(self.params, slopes[part][:, :, None], part)[:, 0]
            parts.append(own @ found.solution)
        tau = -torch.cat(parts)
        if some is self.rows:
            tau = tau[examples]
        # The divisor W = sum_j w_j moves with w_i too.
        return self.scale * (tau + self.total @ found.solution), found


def at_model(
    problem: DifferentiableProblem,
    params: Float[Tensor, " params"],
    weights: Float[Tensor, " train"],
    rule: Rule,
) -> ModelInfluence:
    """Return a model with its curvature and whatever the solver keeps of it.

    Args:
        problem: Losses and outputs.
        params: The model.
        weights: The weights that it was trained with.
        rule: How.

    Returns:
        The model, ready for any targets and examples.

    Raises:
        ValueError: If the damped curvature is not positive definite.
    """
    scale = normaliser(weights[None], problem.description.normalisation).item()
    operator = rule.curvature.operator(
        problem, params, scale * weights, budget=rule.budget
    )
    solver = rule.solver or chosen_solver(operator, rule.damping, rule.budget)
    rows = rows_of(problem, params.device)
    slopes = loss_slopes(problem, rows.predictions(params, rule.budget))
    total = torch.zeros_like(params)
    if problem.description.normalisation == "sum":
        weighted = scale * weights[:, None] * slopes
        size, _ = rule.budget.tile(rows.n_rows, 1, rows.entries_a_row(params))
        for part, predict in rows.chunks(size):
            total += vjp(predict, params)[1](weighted[part])[0]
    return ModelInfluence(
        problem=problem,
        params=params,
        scale=scale,
        slopes=slopes,
        total=total,
        rows=rows,
        inverse=solver.prepare(Damped(operator=operator, damping=rule.damping)),
        solver=solver.name,
        budget=rule.budget,
    )

"""What a removal does to a quadratic objective: first order, over 1 - leverage."""

import torch
from torch import Tensor

from dmtheory.influence.at_models.linearised import linearised
from dmtheory.influence.at_models.trained_models import models_at
from dmtheory.influence.curvature import GaussNewton
from dmtheory.influence.removing.rules import FirstOrder, LeverageCorrected
from dmtheory.problems.base import DifferentiableProblem

FIRST_ORDER, CORRECTED = "first order", "over 1 - leverage"


def quadratic_removals(
    problem: DifferentiableProblem,
    removed: tuple[int, ...],
    *,
    damping: float,
    n_seeds: int,
    seed: int,
) -> dict[str, Tensor]:
    """Return removals from w = 1 without retraining, to first order and corrected.

    Both take the damped Gauss-Newton matrix of the trained model for its objective; the
    second is what a quadratic one answers to a removal of whole examples.

    Args:
        problem: What is trained.
        removed: Examples, one at a time.
        damping: Added to the curvature.
        n_seeds: Trained models.
        seed: The experiment's seed.

    Returns:
        F(1) - F(1 - e_i) by name, [seeds, removed, targets].
    """
    n_train = problem.description.n_train
    point = torch.ones(n_train, dtype=torch.float64)
    rows = torch.eye(n_train, dtype=torch.float64)[list(removed)]
    rules: dict[str, FirstOrder | LeverageCorrected] = {
        FIRST_ORDER: FirstOrder(),
        CORRECTED: LeverageCorrected(),
    }
    found: dict[str, list[Tensor]] = {name: [] for name in rules}
    for params in models_at(problem, at=point, n_seeds=n_seeds, seed=seed).params:
        model = linearised(
            problem, params, point, curvature=GaussNewton(), damping=damping
        )
        for name, rule in rules.items():
            found[name].append(rule.contributions(model, rows))
    return {name: torch.stack(units) for name, units in found.items()}

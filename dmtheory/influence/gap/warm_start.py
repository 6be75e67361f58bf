"""Retraining from a trained model, with or without a pull towards it."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.influence.at_models.linearised import linearised, scaled_weights
from dmtheory.influence.curvature import ExactHessian
from dmtheory.influence.gap.minimisers import minimisers
from dmtheory.problems.base import DifferentiableProblem, Factored
from dmtheory.problems.network import Network
from dmtheory.training.batchable import check_batchable
from dmtheory.training.randomness import Keys
from dmtheory.training.task import Params, Task, stacked
from dmtheory.training.together import step_of, train_together

# Largest gradient of a retrained convex model, beside the start's own pieces.
_TOLERANCE = 1e-12
_MOST_ITERATIONS = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class PulledTask(Task):
    """A task whose objective has damping/2 |theta - anchor|^2 beside J.

    Attributes:
        anchor: Parameters that are pulled to.
        damping: How strongly, >= 0.
    """

    anchor: Params
    damping: float

    def batch_loss(
        self,
        params: Params,
        weights: Float[Tensor, " batch"],
        keys: Keys | None,
        x: Tensor,
        y: Tensor,
    ) -> Float[Tensor, ""]:
        """Return the weighted sum of one model's losses over a batch, and the pull."""
        moved = [(params[n] - self.anchor[n]).square().sum() for n in self.names]
        loss = super().batch_loss(params, weights, keys, x, y)
        return loss + 0.5 * self.damping * torch.stack(moved).sum()


def retrained_from(
    problem: DifferentiableProblem,
    start: Float[Tensor, " params"],
    weights: Float[Tensor, "rows train"],
    seed: Int64[Tensor, ""],
    *,
    damping: float = 0.0,
) -> Float[Tensor, "rows params"]:
    """Train by the problem's own procedure, begun at start and pulled to it.

    A network takes its whole schedule of steps again, on J plus
    damping/2 |theta - start|^2; a convex problem is minimised.

    Args:
        problem: A network, or a convex problem of the package.
        start: Trained parameters.
        weights: One weight vector a row.
        seed: The training seed of all rows.
        damping: Of the pull, >= 0.

    Returns:
        Parameters, one row each.

    Raises:
        TypeError: If the problem is of another kind.
        ValueError: If a convex problem is not solved.
    """
    if isinstance(problem, Network):
        return _steps_from(problem, start, weights, seed, damping)
    if isinstance(problem, Factored):
        return _minimisers_from(problem, start, weights, damping)
    raise TypeError(
        "problem must be a Network or a convex problem to be retrained from a start, "
        f"got {type(problem).__name__}"
    )


def _steps_from(
    problem: Network, start: Tensor, weights: Tensor, seed: Tensor, damping: float
) -> Tensor:
    task = problem.task()
    check_batchable(task)
    anchor = {name: value[0] for name, value in stacked(task, start[None]).items()}
    pulled = PulledTask(
        **{field.name: getattr(task, field.name) for field in fields(Task)},
        anchor=anchor,
        damping=damping,
    )
    step = step_of(pulled)
    return torch.cat([
        train_together(
            pulled, step, start.repeat(len(rows), 1), rows, seed.repeat(len(rows))
        )
        for rows in weights.split(problem.execution.chunk(task))
    ])


def _minimisers_from(
    problem: DifferentiableProblem, start: Tensor, weights: Tensor, damping: float
) -> Tensor:
    model = linearised(
        problem, start, weights[0], curvature=ExactHessian(), damping=damping
    )
    scaled = scaled_weights(problem, weights)

    def objective(theta: Tensor, s: Tensor) -> Tensor:
        losses = problem.prediction_losses(problem.predictions(theta))
        pull = 0.5 * damping * (theta - start).square().sum()
        return losses @ s + problem.penalty(theta) + pull

    unit = (scaled.amax(0) @ model.gradients.abs()).max().item()
    found = minimisers(
        objective,
        start.expand(len(weights), -1),
        scaled,
        factor=model.factor,
        tolerance=_TOLERANCE * unit,
        most_iterations=_MOST_ITERATIONS,
    )
    if not bool(found.converged.all()):
        raise ValueError(
            f"problem must be solved to a gradient of {_TOLERANCE:g}, but "
            f"{int((~found.converged).sum())} of {len(weights)} models were not: raise "
            "the ridge"
        )
    return found.params

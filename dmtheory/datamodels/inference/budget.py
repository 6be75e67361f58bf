"""How many models reach a given error, correlation or score, from a small pilot."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import Intervals
from dmtheory.agreement.subset_outputs import SubsetOutputs
from dmtheory.datamodels.inference.forecast import (
    Correlation,
    Goal,
    Score,
    StandardError,
    forecast_of,
)
from dmtheory.responses.responses import Responses
from dmtheory.theory.noise_laws import Law

__all__ = ["Budget", "Correlation", "Goal", "Score", "StandardError", "models_needed"]

# More rows than anyone trains count as unreachable.
_MOST_ROWS = 2**30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Budget:
    """How many trainings reach a goal; infinite where none do.

    Attributes:
        goal: What is to be reached, by the mean over targets.
        models: Trainings in all, of the pilot's kind.
        more: Trainings beyond the pilot's.
        per_target: Trainings in all for each target to reach the goal alone.
        bound: The best value that any number of trainings reaches.
        linear_share: L/V, the share of an output's variance that is linear in the
            mask, mean over targets.
        target_labels: One label a target.
        n_pilot: The pilot's trainings.
    """

    goal: Goal
    models: Interval
    more: Interval
    per_target: Intervals
    bound: Interval
    linear_share: Interval
    target_labels: tuple[str, ...]
    n_pilot: int

    @property
    def reachable(self) -> bool:
        """Whether the estimate of the bound lies beyond the goal."""
        return self.models.value < float("inf")

    def __str__(self) -> str:
        if not self.reachable:
            return (
                f"unreachable: at most {self.bound.value:.3f} "
                f"({self.bound.low:.3f} to {self.bound.high:.3f}) by any number of "
                "models"
            )
        low, high = (_count(x) for x in (self.models.low, self.models.high))
        return (
            f"{_count(self.models.value)} models ({low} to {high}), "
            f"{_count(self.more.value)} more than the pilot's"
        )


def models_needed(
    pilot: Responses | SubsetOutputs,
    goal: Goal,
    *,
    law: Law | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Budget:
    r"""Say how many models of the pilot's design reach a goal.

    The pilot tells L and sigma^2 of every target without bias, with fewer models than
    examples too; the noise law r(m; L, sigma^2) is then solved for m, so that the mean
    over targets of r, of LDS = (6/pi) asin(r sqrt(L/(L + V_high + s^2/R))/2), or the
    root mean square of the standard errors, meets the goal. Targets' shares are drawn
    together by what the pilot's own error adds to their spread. A nominal .95 covers
    .86 to .98 in simulations, the lower end for targets of very different linear
    shares and pilots with fewer models than examples.

    Example: models_needed(pilot, Score(0.6, n_seeds=4)), the goals from this module.

    Args:
        pilot: Responses on random subsets: independent rows or complementary pairs,
            with replicates if a score of other than the pilot's seeds is the goal.
        goal: `StandardError`, `Correlation` or `Score`.
        law: The noise law of the estimator, from `dmtheory.theory.noise_laws`; that of
            OLS on the pilot's design by default. `ridge_law` assumes isotropic
            coefficients and the best penalty.
        draws: Bootstrap draws over the pilot's subsets or pairs, at least 1,000.
        seed: Seed of the resampling.

    Returns:
        The number of models with a 95 % interval, and the bound.

    Raises:
        ValueError: If the goal asks for what the pilot cannot tell.
    """
    known = forecast_of(pilot, goal, law=law, draws=draws, seed=seed)
    sample, per_row, single = known.sample, known.models_a_row, known.single
    exact = isinstance(goal, StandardError)
    wanted = -(goal.value**2) if exact else goal.value
    models = per_row * _rows_needed(known.mean, wanted, (draws + 1, 1))
    share = single.moved(1.0)[0].mean(1, keepdim=True)
    most = torch.full((draws + 1, 1), float(_MOST_ROWS), dtype=torch.float64)
    return Budget(
        goal=goal,
        models=_interval(models),
        more=_interval((models - sample.n_units * per_row).clamp_min(0)),
        per_target=_intervals(
            per_row * _rows_needed(known.each, wanted, tuple(single.linear_moves.shape))
        ),
        bound=_interval(0 * most if exact else known.mean(most)),
        linear_share=_interval(share).clipped(0.0, 1.0),
        target_labels=sample.target_labels,
        n_pilot=sample.n_models,
    )


def _rows_needed(
    reached: Callable[[Tensor], Tensor], wanted: float, shape: tuple[int, ...]
) -> Tensor:
    """Return the smallest number of rows that reaches what is wanted, by bisection."""
    low = torch.zeros(shape, dtype=torch.float64)
    high = torch.full(shape, float(_MOST_ROWS), dtype=torch.float64)
    reachable = reached(high) >= wanted
    for _ in range(_MOST_ROWS.bit_length()):
        middle = ((low + high) / 2).floor().clamp_min(1)
        enough = reached(middle) >= wanted
        high = torch.where(enough, middle, high)
        low = torch.where(enough, low, middle)
    return torch.where(reachable, high, float("inf"))


def _interval(values: Tensor) -> Interval:
    found = _intervals(values)
    return Interval(found.value.item(), found.low.item(), found.high.item())


def _intervals(values: Tensor) -> Intervals:
    """Return the estimate in the first row with percentiles of the draws below it."""
    ordered = values[1:].sort(0).values
    tail = int(0.025 * len(ordered))
    # No interpolation: between a number and infinity there is none.
    return Intervals(
        value=values[0],
        low=torch.minimum(ordered[tail], values[0]),
        high=torch.maximum(ordered[-1 - tail], values[0]),
    )


def _count(number: float) -> str:
    return "unreachable" if number == float("inf") else f"{number:,.0f}"

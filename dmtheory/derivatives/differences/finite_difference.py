"""dF/dw by difference quotients over seeds, with common random numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least, check_positive
from dmtheory.derivatives.along import Along, Examples, Paths
from dmtheory.derivatives.differences.ladder import Ladder, StepChoice, chosen_step
from dmtheory.derivatives.differences.quotients import (
    Quotients,
    Train,
    at_a_point,
    over_subsets,
)
from dmtheory.derivatives.differences.stencils import Central, DifferenceRule
from dmtheory.derivatives.method import At, resolved
from dmtheory.derivatives.smoothness import warn_of_jumps
from dmtheory.derivatives.strategies import check_strategy
from dmtheory.derivatives.units import (
    check_none_diverged,
    from_labelled_units,
    point_of,
)
from dmtheory.designs.base import Design
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress, collect


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Differences:
    """A derivative by finite differences, with what the differences tell of themselves.

    Attributes:
        attribution: Scores with standard errors over units.
        variance_ratio: Variance of a quotient over seeds, over the variance that it
            would have if every training had a seed of its own; below 1 where common
            seeds help. None at a subset law and where training is deterministic.
        choice: Every rung of the ladder and the one taken; None for a single step.
    """

    attribution: Attribution
    variance_ratio: Float[Tensor, "rows targets"] | None
    choice: StepChoice | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FiniteDifference:
    r"""Difference quotients such as [F(w + h e_i; s) - F(w - h e_i; s)] / 2h over s.

    All sides share the seed s, so the seed noise of F cancels and only that of the
    derivative stays. Bias O(h^2), O(h) forward, O(h^4) by Richardson. Where a weight is
    0 the quotient is one-sided. Works on any problem, smooth or not.

    Attributes:
        step: h, in weight; at w = c·1 at most c. Or a ladder of steps, from which the
            one with the least total error is taken.
        n_seeds: Independent units behind each derivative: training seeds at a fixed
            point, units of two random subsets for an average over subsets.
        rule: `Central()`, `Forward()` or `Richardson()`; central over subsets.
        along: What moves: `Examples()`, `Groups()` or `Directions()`. The rows of the
            attribution are these.
    """

    step: float | Ladder = 0.05
    n_seeds: int = 20
    rule: DifferenceRule = Central()  # noqa: RUF009 -- frozen, without state
    along: Along = Examples()  # noqa: RUF009 -- frozen, without state

    def __post_init__(self) -> None:
        if not isinstance(self.step, Ladder):
            check_positive(self.step, "step")
        check_at_least(self.n_seeds, 1, "n_seeds")
        check_strategy(self.rule, DifferenceRule, "rule", "Forward()")
        check_strategy(self.along, Along, "along", "Groups(groups=...)")

    @property
    def steps(self) -> tuple[float, ...]:
        """All steps that are trained for."""
        return self.step.steps if isinstance(self.step, Ladder) else (self.step,)

    def derive(
        self,
        problem: Problem,
        *,
        at: Float[Tensor, " train"] | Bernoulli,
        coordinates: tuple[int, ...],
        seed: int,
        engine: Engine | None,
        progress: Progress | None,
    ) -> Attribution:
        """Return the mean difference quotient over units."""
        return self.differences(
            problem,
            at=at,
            coordinates=coordinates,
            seed=seed,
            engine=engine,
            progress=progress,
        ).attribution

    def differences(
        self,
        problem: Problem,
        *,
        at: Float[Tensor, " train"] | Bernoulli,
        coordinates: tuple[int, ...],
        seed: int,
        engine: Engine | None,
        progress: Progress | None,
    ) -> Differences:
        """Return the mean difference quotient with its diagnostics."""
        description = problem.description
        warn_of_jumps(description.output)
        drawn = isinstance(at, Bernoulli) or not description.deterministic
        n_units = self.n_seeds if drawn else 1
        if drawn and n_units == 1 and isinstance(self.step, Ladder):
            raise ValueError(
                "n_seeds must be at least 2 for a ladder of steps, got 1: noise is the "
                "spread over seeds"
            )

        def train(design: Design) -> Tensor:
            responses = collect(problem, design, engine=engine, progress=progress)
            check_none_diverged(responses.diverged)
            return responses.outputs

        paths = self.along.paths(description, coordinates)
        jumps = description.normalisation == "sum"
        found = self._quotients(at, paths, jumps, n_units, seed, train)
        step, choice = max(self.steps), None
        if isinstance(self.step, Ladder):
            rounding = torch.finfo(torch.float64).eps * found.largest
            choice = chosen_step(found.by_step, found.orders, rounding)
            step = choice.step
        ratio = _variance_ratio(found, step)
        attribution = from_labelled_units(
            found.by_step[step],
            description,
            paths.labels,
            n_train=paths.n_players,
            quantity="response derivative",
            point=point_of(at),
            n_models=found.n_models,
            seed=seed if drawn else None,
            method=self._said(choice, n_units, found.one_sided, ratio),
        )
        return Differences(attribution=attribution, variance_ratio=ratio, choice=choice)

    def _quotients(
        self,
        at: Float[Tensor, " train"] | Bernoulli,
        paths: Paths,
        jumps: bool,
        n_units: int,
        seed: int,
        train: Train,
    ) -> Quotients:
        if not isinstance(at, Bernoulli):
            return at_a_point(
                at,
                paths,
                self.rule,
                self.steps,
                n_seeds=n_units,
                seed=seed,
                train=train,
            )
        if not isinstance(self.rule, Central):
            raise ValueError(
                "rule must be Central() for an average over subsets, got "
                f"{type(self.rule).__name__}()"
            )
        return over_subsets(
            at,
            paths,
            self.steps,
            jumps=jumps,
            n_units=n_units,
            seed=seed,
            train=train,
        )

    def _said(
        self,
        choice: StepChoice | None,
        n_units: int,
        one_sided: int,
        ratio: Tensor | None,
    ) -> str:
        said = [f"{self.rule.name} differences"]
        said.append(f"step {self.step:g}" if choice is None else str(choice))
        said.append(f"{n_units} unit(s)")
        if one_sided:
            said.append(f"one-sided in {one_sided} row(s) at a weight of 0")
        if ratio is not None:
            share = ratio.median().item()
            said.append(f"variance {share:.2g} of that of independent seeds")
        return ", ".join(said)


def finite_differences(
    problem: Problem,
    method: FiniteDifference = FiniteDifference(),
    *,
    at: At = 1.0,
    coordinates: Sequence[int] | None = None,
    seed: int = 0,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Differences:
    """Do what `response_derivative` does, and tell what the differences tell.

    Args:
        problem: The training map and its outputs.
        method: Step or ladder, seeds, rule, and what moves.
        at: A common weight > 0, one weight >= 0 an example, or a subset law.
        coordinates: Which examples; all by default.
        seed: The experiment's seed.
        engine: Where trainings run; in this process by default.
        progress: Called with the number of models that were just finished.

    Returns:
        The attribution, what common seeds save, and the ladder's choice.

    Raises:
        ValueError: As `response_derivative`.
    """
    point, chosen = resolved(problem, at, coordinates, seed)
    return method.differences(
        problem,
        at=point,
        coordinates=chosen,
        seed=seed,
        engine=engine,
        progress=progress,
    )


def _variance_ratio(
    found: Quotients, step: float
) -> Float[Tensor, "rows targets"] | None:
    """Return the variance over that of independent seeds; 1 where neither varies."""
    if found.independent is None:
        return None
    common, independent = found.by_step[step].var(0), found.independent[step]
    return torch.where(independent > 0, common / independent, 1.0)

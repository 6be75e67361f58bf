"""Why influence is not retraining: five terms that add up to the gap."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import centred_interval, interval_of
from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least, check_choice
from dmtheory.derivatives.method import At, resolved_point
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.points import check_coordinates
from dmtheory.designs.seeds import model_seeds
from dmtheory.influence.arguments import check_damping
from dmtheory.influence.at_models.trained_models import check_fixed_steps, models_at
from dmtheory.influence.gap.stages import (
    STAGES,
    Effects,
    effects_of_one_seed,
    stated_effects,
)
from dmtheory.influence.gap.statistics import (
    correlations,
    inner_products,
    resampled_means,
)
from dmtheory.influence.removing.removals import check_some_are_left
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.responses.collect import Progress

TERMS = ("warm start", "proximity", "non-convergence", "linearisation", "solver")


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One term of the gap.

    Attributes:
        name: One of `TERMS`.
        size: Its root mean square beside that of the effect of retraining.
        share: Its part of the squared gap, <term, gap>/<gap, gap>; the five add up to
            1, and one that works against the gap is negative. Not a number where there
            is no gap.
    """

    name: str
    size: Interval
    share: Interval


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InfluenceGap:
    """The gap between influence and retraining, term by term.

    Attributes:
        effects: F(w) - F(w without the example) at each of `STAGES`, a seed.
        terms: One for each of `TERMS`, in order.
        total: The whole gap beside the effect of retraining.
        train_labels: One label a removed example.
        target_labels: One label a target.
        draws: Bootstrap draws.
        seed: Seed of the resampling.
    """

    effects: Effects
    terms: tuple[Term, ...]
    total: Interval
    train_labels: tuple[str, ...]
    target_labels: tuple[str, ...]
    draws: int
    seed: int

    def gap(self, name: str) -> Float[Tensor, "removed targets"]:
        """Return a term itself: the difference of two stages, averaged over seeds.

        Raises:
            ValueError: If there is no such term.
        """
        check_choice(name, TERMS, "name")
        mean, place = self.effects.mean(1), TERMS.index(name)
        return mean[place] - mean[place + 1]

    def correlation(self, first: str, second: str) -> Interval:
        """Return the correlation of two stages' effects, pooled within targets.

        Raises:
            ValueError: If there is no such stage.
        """
        value, sample = self._correlated(first, second)
        return centred_interval(value, sample).clipped(-1.0, 1.0)

    def nearer(self, stage: str, one: str, other: str) -> Interval:
        """Return how much more a stage correlates with one stage than with another.

        Raises:
            ValueError: If there is no such stage.
        """
        value, sample = self._correlated(stage, one)
        less, less_sample = self._correlated(stage, other)
        return centred_interval(value - less, sample - less_sample)

    def _correlated(self, first: str, second: str) -> tuple[Tensor, Tensor]:
        for name in (first, second):
            check_choice(name, STAGES, "stage")
        places = [STAGES.index(first), STAGES.index(second)]
        effects, counts = resampled_means(self.effects[places], self.draws, self.seed)
        found = correlations(effects[:, 0], effects[:, 1], counts)
        return found[0], found[1:]


def influence_gap(
    problem: DifferentiableProblem,
    *,
    damping: float,
    removed: Sequence[int] | None = None,
    estimate: Attribution | None = None,
    at: At = 1.0,
    n_seeds: int = 1,
    seed: int = 0,
    draws: int = 1000,
    resampling_seed: int = 0,
    progress: Progress | None = None,
) -> InfluenceGap:
    r"""Split the gap between influence and retraining without an example.

    A chain of procedures leads from retraining to an estimate; each gives the effect
    f at w - f without the example, both by itself, so that what it would do without a
    removal counts in no term:

    - cold start: training from the initialisation of the same seed;
    - warm start: the same procedure begun at the trained model theta_s;
    - proximal: that with damping/2 |theta - theta_s|^2 in its objective;
    - Bregman: the proximal Bregman response, which knows theta_s as an optimum;
    - linear: damped Gauss-Newton influence, solved exactly;
    - estimate: what a solver said instead.

    The five differences of neighbours are the terms, and add up to the gap. On a
    converged convex problem without damping all vanish but linearisation; damping
    alone makes a proximity term there. The effects are averaged over seeds first.

    Args:
        problem: A network, or a convex problem of the package, in float64.
        damping: Added to the Gauss-Newton curvature of J, in its units, >= 0.
        removed: Examples that are removed, one at a time; all by default. Each is
            retrained three times a seed.
        estimate: Influence of these examples by the solver in question, at the same
            point, seeds and damping; the exact solve by default, so that the solver's
            term is 0.
        at: The point w: a common weight, or one weight an example.
        n_seeds: Trained models; one where training is deterministic.
        seed: The experiment's seed.
        draws: Bootstrap draws over removed examples, and over seeds from 4 on; fewer
            seeds are held fixed. At least 1,000.
        resampling_seed: Seed of the resampling.
        progress: Called with 1 after each seed.

    Returns:
        Every term with its 95 % interval, and the effects.

    Raises:
        TypeError: If the problem cannot be retrained from a start.
        ValueError: If an argument is out of range, or the estimate is of other models.

    References:
        Bae, Ng, Lo, Ghassemi, Grosse 2022, If influence functions are the answer, then
        what is the question?, section 4.
    """
    description = problem.description
    check_fixed_steps(description, "influence")
    check_damping(damping)
    chosen = tuple(range(description.n_train) if removed is None else removed)
    check_coordinates(chosen, description.n_train)
    check_at_least(len(chosen), 2, "number of removed examples")
    check_at_least(draws, 1000, "draws")
    point = resolved_point(at, description.n_train)
    if isinstance(point, Bernoulli):
        raise ValueError("at must be a point for the gap, got a subset law")
    models = models_at(problem, at=point, n_seeds=n_seeds, seed=seed)
    rows = torch.eye(description.n_train, dtype=torch.float64)[list(chosen)]
    check_some_are_left(point, rows)
    seeds = model_seeds(seed, torch.arange(len(models.params)))
    chains = []
    for params, model_seed in zip(models.params, seeds, strict=True):
        chains.append(
            effects_of_one_seed(problem, params, point, rows, model_seed, damping)
        )
        if progress is not None:
            progress(1)
    effects = torch.stack(chains, 1)
    if estimate is not None:
        effects[-1] = stated_effects(
            estimate, problem, chosen, point, models.seed, effects
        )
    labels = tuple(description.train_labels[i] for i in chosen)
    return _summary(effects, labels, description.target_labels, draws, resampling_seed)


def _summary(
    effects: Effects,
    train_labels: tuple[str, ...],
    target_labels: tuple[str, ...],
    draws: int,
    seed: int,
) -> InfluenceGap:
    drawn, counts = resampled_means(effects, draws, seed)
    retraining = inner_products(drawn[:, 0], drawn[:, 0], counts)
    gap = drawn[:, 0] - drawn[:, -1]
    whole = inner_products(gap, gap, counts)

    def interval(values: Tensor) -> Interval:
        if not bool(values.isfinite().all()):
            return Interval.exact(float("nan"))
        return interval_of(values)

    terms = []
    for place, name in enumerate(TERMS):
        term = drawn[:, place] - drawn[:, place + 1]
        size = (inner_products(term, term, counts) / retraining).sqrt()
        share = inner_products(term, gap, counts) / whole
        terms.append(
            Term(
                name=name,
                size=interval(size).clipped(0.0, float("inf")),
                share=interval(share),
            )
        )
    total = interval((whole / retraining).sqrt()).clipped(0.0, float("inf"))
    return InfluenceGap(
        effects=effects,
        terms=tuple(terms),
        total=total,
        train_labels=train_labels,
        target_labels=target_labels,
        draws=draws,
        seed=seed,
    )

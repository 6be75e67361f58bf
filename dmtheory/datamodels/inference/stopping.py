"""Collect pairs until their datamodel will predict new subsets well enough."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from dmtheory.agreement.subset_outputs import SubsetOutputs
from dmtheory.checks import check_at_least, check_open_unit
from dmtheory.datamodels.inference.forecast import Correlation, Score, forecast_of
from dmtheory.designs import ComplementaryPairs
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress, collect
from dmtheory.responses.responses import Responses
from dmtheory.theory.noise_laws import Law, pairs_law

# Bootstrap draws: the limits of many looks lie far out.
_DRAWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was known at one size.

    Attributes:
        n_models: Trainings so far.
        predicted: The goal's quantity that they reach by the noise law.
        limit: Its lower confidence limit, at a level that all looks share.
    """

    n_models: int
    predicted: float
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Collected:
    """Responses of as many pairs as a goal took.

    Attributes:
        responses: The responses, for `fit_datamodel`.
        looks: What was known at each size, the last one last.
        reached: Whether the last limit meets the goal; otherwise trainings ran out.
    """

    responses: Responses
    looks: tuple[Look, ...]
    reached: bool


def collect_until(
    problem: Problem,
    goal: Correlation | Score,
    *,
    most: int,
    least: int = 100,
    growth: float = 1.25,
    law: Law = pairs_law,
    confidence: float = 0.95,
    seed: int = 0,
    store: Any = None,
    engine: Engine | str | None = "local",
    progress: Progress | None = None,
) -> Collected:
    r"""Train complementary pairs, block by block, until a goal is surely reached.

    After each block the variances L and sigma_d^2 are estimated from the pairs that
    are there, and the noise law says what a fit to them reaches on new subsets:
    r^2 = 1/(1 + N s/(M - N - 1)), s = sigma_d^2/L, and from it the linear datamodeling
    score. It stops at the first size where the lower confidence limit of that meets
    the goal. No evaluation subset is trained or looked at, so an evaluation afterwards
    is untouched by the stop.

    Sizes grow geometrically, so that looks are few: K of them, each at the level
    (1 - confidence)/K. The probability that any limit exceeds what it bounds, and with
    it that the rule stops short of the goal, is then at most 1 - confidence, whatever
    the dependence of the looks, as far as the bootstrap holds.

    Example: collect_until(problem, Score(0.6), most=4000).responses

    Args:
        problem: The training map and its outputs.
        goal: `Correlation` with the true linear part, or `Score`: the mean over
            targets that is wanted on new subsets of one training seed each.
        most: Trainings at most; stops there whatever was reached.
        least: Trainings of the first block, at least 8; more where the law has no
            value yet.
        growth: Of the trainings from look to look, above 1.
        law: The noise law of the estimator that will be fitted: `pairs_law` of OLS,
            `ridge_law` of ridge, from `dmtheory.theory.noise_laws`.
        confidence: Probability of not stopping short, in (0, 1).
        seed: The experiment's seed.
        store: Where blocks are kept; in memory if None. Interrupt and call again.
        engine: Where trainings run.
        progress: Called with the number of models that were just finished.

    Returns:
        The responses, every look, and whether the goal was reached.

    Raises:
        ValueError: If an argument is out of range, or no size up to `most` has a value
            by the law.
    """
    n_train = problem.description.n_train
    sizes = stopping_sizes(n_train, most=most, least=least, growth=growth, law=law)
    if store is None:
        # What was trained for one look is not trained again for the next.
        from zarr.storage import MemoryStore

        store = MemoryStore()

    def first(n_models: int) -> Responses:
        pairs = ComplementaryPairs(n_pairs=n_models // 2, seed=seed)
        found = collect(problem, pairs, store=store, engine=engine, progress=progress)
        # The store may hold more.
        return found.first(n_models)

    return stop_at(first, sizes, goal, law=law, confidence=confidence)


def stopping_sizes(
    n_train: int, *, most: int, least: int, growth: float, law: Law
) -> tuple[int, ...]:
    """Return the trainings at which is looked: from `least` on, each `growth` times.

    Raises:
        ValueError: If an argument is out of range, or the law has no value up to
            `most`.
    """
    check_at_least(least, 8, "least")
    if growth <= 1:
        raise ValueError(f"growth must be above 1, got {growth}")
    sizes = [least + least % 2]
    while sizes[-1] * growth < most:
        sizes.append(max(sizes[-1] + 2, 2 * round(sizes[-1] * growth / 2)))
    pairs = torch.tensor([*sizes, most - most % 2], dtype=torch.float64) / 2
    valued = law(torch.ones_like(pairs), n_train, pairs) > 0
    found = sorted({2 * int(m) for m in pairs[valued] if 2 * m <= most})
    if not found:
        raise ValueError(
            f"most must be so many trainings that the law has a value, got {most} for "
            f"{n_train} examples: train more, or say law=ridge_law and fit a ridge"
        )
    return tuple(found)


def stop_at(
    first: Callable[[int], Responses],
    sizes: tuple[int, ...],
    goal: Correlation | Score,
    *,
    law: Law = pairs_law,
    confidence: float = 0.95,
) -> Collected:
    """Apply the rule of `collect_until` to responses from anywhere.

    Args:
        first: Returns the responses of the first so many trainings.
        sizes: The trainings at which is looked, all fixed beforehand.
        goal: What is to be reached.
        law: The noise law of the estimator.
        confidence: Probability of not stopping short, in (0, 1).

    Returns:
        The responses at which it stops, and every look.
    """
    check_open_unit(confidence, "confidence")
    check_at_least(len(sizes), 1, "number of sizes")
    level, looks = (1 - confidence) / len(sizes), []
    for n_models in sizes:
        responses = first(n_models)
        look = look_at(responses, goal, law=law, level=level)
        looks.append(look)
        if look.limit >= goal.value:
            break
    return Collected(
        responses=responses, looks=tuple(looks), reached=look.limit >= goal.value
    )


def look_at(
    responses: Responses | SubsetOutputs,
    goal: Correlation | Score,
    *,
    law: Law = pairs_law,
    level: float = 0.05,
) -> Look:
    """Return what a fit to these responses reaches, with its lower limit.

    Args:
        responses: Outputs of complementary pairs, or of independent random subsets.
        goal: The quantity that is wanted.
        law: The noise law of the estimator.
        level: Probability that the limit is too high, in (0, 1).

    Returns:
        The prediction.
    """
    check_open_unit(level, "level")
    known = forecast_of(responses, goal, law=law, draws=_DRAWS, seed=0)
    rows = torch.full((_DRAWS + 1, 1), float(known.sample.n_units)).double()
    values = known.mean(rows)[:, 0]
    drawn = values[1:].sort().values
    return Look(
        n_models=known.sample.n_models,
        predicted=values[0].item(),
        limit=min(drawn[int(level * _DRAWS)], values[0]).item(),
    )

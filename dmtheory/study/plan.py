"""How a study's trainings are shared out, and how many a given time has."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial

from dmtheory.checks import check_at_least, check_positive
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.engines.base import Engine
from dmtheory.influence.classical import influence
from dmtheory.influence.curvature import GaussNewton
from dmtheory.problems.base import DifferentiableProblem, Problem
from dmtheory.responses.collect import collect

# The p of random halves, and the weight of the matched point.
LEVEL = 0.5
# Fewer tell nothing apart.
FEWEST_MODELS = 400
_FEWEST_COORDINATES = 8
_MOST_COORDINATES = 60
_FEWEST_SEEDS, _MOST_SEEDS = 4, 40
_MOST_EVALUATION = 500
_MOST_INFLUENCE = 10
# Shares of the trainings, and of the time that is given to influence.
_DERIVATIVES, _EVALUATION, _TUNING = 0.3, 0.2, 0.05
_INFLUENCE, _MOST_TIME = 0.15, 0.4
# What fits, comparisons and the page take, and clocks get wrong.
_RESERVE = 0.15
# A rate is read off a batch that takes this share of the time, or this many seconds.
_READ, _READ_SECONDS = 0.02, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """What a study trains; the same plan and seed give the same numbers.

    Attributes:
        n_pairs: Complementary pairs of random halves behind the datamodel.
        n_evaluation: Random halves on which scores are judged.
        n_replicates: Seeds of each of those.
        n_coordinates: Examples whose derivative is taken by retraining.
        n_seeds: Seeds behind each derivative.
        n_scale_seeds: Seeds of the check of scale-freeness.
        n_tuning: Random halves on which influence's damping is chosen.
        n_influence: Models whose influence is averaged at a point, one where training
            is deterministic, and half of those over random halves; 0 takes none.
    """

    n_pairs: int
    n_evaluation: int
    n_replicates: int
    n_coordinates: int
    n_seeds: int
    n_scale_seeds: int
    n_tuning: int
    n_influence: int

    @property
    def n_models(self) -> int:
        """Trainings in all, but those of influence."""
        return (
            2 * self.n_pairs
            + self.n_evaluation * self.n_replicates
            + 4 * self.n_coordinates * self.n_seeds
            + 4 * self.n_scale_seeds
            + self.n_tuning
        )

    def to_json(self) -> dict[str, int]:
        """Return the plan's numbers by name."""
        return asdict(self)


def share_out(
    n_models: int, *, n_train: int, deterministic: bool, n_influence: int = 5
) -> StudyPlan:
    """Share out so many trainings.

    Args:
        n_models: Trainings in all, but those of influence; at least 400.
        n_train: Training examples.
        deterministic: Whether seeds do nothing.
        n_influence: Models whose influence is averaged.

    Returns:
        A plan of at most so many trainings.

    Raises:
        ValueError: If n_models is too small to tell anything apart.
    """
    check_at_least(n_models, FEWEST_MODELS, "n_models")
    coordinates, seeds = _derivatives(n_models, n_train, deterministic)
    replicates = 1 if deterministic else 2
    plan = StudyPlan(
        n_pairs=0,
        n_evaluation=min(_MOST_EVALUATION, int(_EVALUATION * n_models) // replicates),
        n_replicates=replicates,
        n_coordinates=coordinates,
        n_seeds=seeds,
        n_scale_seeds=1 if deterministic else 8,
        n_tuning=0 if deterministic or n_influence == 0 else int(_TUNING * n_models),
        n_influence=n_influence,
    )
    return replace(plan, n_pairs=(n_models - plan.n_models) // 2)


def _derivatives(n_models: int, n_train: int, deterministic: bool) -> tuple[int, int]:
    """Return examples and seeds of two-sided differences at two points."""
    rows = int(_DERIVATIVES * n_models) // 4
    if deterministic:
        return min(n_train, rows), 1
    coordinates = min(n_train, _MOST_COORDINATES, rows // _FEWEST_SEEDS)
    coordinates = max(coordinates, min(n_train, _FEWEST_COORDINATES))
    seeds = max(_FEWEST_SEEDS, min(_MOST_SEEDS, rows // coordinates))
    # With seeds enough, more examples.
    return min(n_train, max(coordinates, rows // seeds)), seeds


def plan_study(
    problem: Problem, *, seconds: float, seed: int = 0, engine: Engine | None = None
) -> StudyPlan:
    """Measure how long a training takes and share out what the time has.

    Args:
        problem: The training map and its outputs.
        seconds: Time for everything.
        seed: The experiment's seed.
        engine: Where trainings run; in this process by default.

    Returns:
        The plan; it depends on the machine, a study of it does not.

    Raises:
        ValueError: If the time has fewer trainings than tell anything apart.
    """
    check_positive(seconds, "seconds")
    description = problem.description
    started = time.monotonic()
    rate = _rate(problem, _READ * seconds, seed, engine)
    n_influence, spent = _influence_models(problem, seconds)
    spent += time.monotonic() - started
    left = (1 - _RESERVE) * seconds - spent
    n_models = int(max(0.0, left) * rate)
    if n_models < FEWEST_MODELS:
        needed = (FEWEST_MODELS / rate + spent) / (1 - _RESERVE)
        raise ValueError(
            f"seconds must have {FEWEST_MODELS} trainings, got {seconds:g} s for "
            f"{n_models} at {rate:.3g} a second: give it {1.1 * needed:.0f} s"
        )
    return share_out(
        n_models,
        n_train=description.n_train,
        deterministic=description.deterministic,
        n_influence=n_influence,
    )


def _rate(problem: Problem, seconds: float, seed: int, engine: Engine | None) -> float:
    """Return trainings a second, from batches that double until one takes long."""
    n = 8

    def taken() -> float:
        design = Bernoulli(p=LEVEL, n_models=n, seed=seed)
        return _seconds(partial(collect, problem, design, engine=engine or "local"))

    # What compiles does so once.
    taken()
    while (spent := taken()) < min(seconds, _READ_SECONDS):
        n *= 2
    return n / spent


def _influence_models(problem: Problem, seconds: float) -> tuple[int, float]:
    """Return how many models' influence the time has, and what all of them take.

    Three estimates are made of each: at w = 1, at the matched point, over subsets of
    twice as many. The fewest that have an interval are taken where they have less time
    than most of all; else none.
    """
    if not can_be_differentiated(problem):
        return 0, 0.0
    assert isinstance(problem, DifferentiableProblem)
    work = partial(influence, problem, curvature=GaussNewton(), damping=1.0)
    once = _seconds(work)
    if once < _MOST_TIME * seconds:
        # The first call compiles.
        once = _seconds(work)
    fewest = 1 if problem.description.deterministic else _FEWEST_SEEDS
    models = min(int(_INFLUENCE * seconds / (4 * once)), _MOST_INFLUENCE)
    if models < fewest:
        models = fewest if 4 * fewest * once < _MOST_TIME * seconds else 0
    return models, 4 * models * once


def can_be_differentiated(problem: Problem) -> bool:
    """Whether influence and derivatives compare with datamodels of this problem."""
    return (
        isinstance(problem, DifferentiableProblem)
        and problem.description.step_policy == "fixed"
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return max(time.monotonic() - started, 1e-6)

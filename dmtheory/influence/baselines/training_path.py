"""Checkpoints of a network's training, with the step sizes that each stands for."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_at_least, check_finite
from dmtheory.derivatives.method import At, resolved_point
from dmtheory.derivatives.units import point_of
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.seeds import model_seeds
from dmtheory.estimand import Point
from dmtheory.influence.at_models.trained_models import check_double, check_fixed_steps
from dmtheory.problems.network import Network
from dmtheory.training.batchable import check_batchable
from dmtheory.training.procedures import SGD, Stack
from dmtheory.training.task import flattened
from dmtheory.training.together import step_of, train_together


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingPath:
    """Parameters that a training passes through, one row a model.

    Attributes:
        params: Checkpoints in the order of training.
        rates: The sum of the step sizes from each checkpoint until the next.
        final: The trained parameters.
        weights: The weights w of the training.
        n_trained: Trainings spent; 0 for checkpoints from elsewhere.
        seed: The experiment's seed; None for checkpoints from elsewhere.
    """

    params: Float[Tensor, "models checkpoints params"]
    rates: Float[Tensor, " checkpoints"]
    final: Float[Tensor, "models params"]
    weights: Float[Tensor, " train"]
    n_trained: int = 0
    seed: int | None = None

    def __post_init__(self) -> None:
        check_double(self.params, "params")
        check_finite(self.params, "params")
        n_models, n_checkpoints, n_params = self.params.shape
        if tuple(self.rates.shape) != (n_checkpoints,):
            raise ValueError(
                f"rates must be one number a checkpoint ({n_checkpoints}), got shape "
                f"{tuple(self.rates.shape)}"
            )
        if not bool((self.rates >= 0).all() & self.rates.isfinite().all()):
            raise ValueError(
                f"rates must be finite and >= 0, got {self.rates.tolist()}"
            )
        if tuple(self.final.shape) != (n_models, n_params):
            raise ValueError(
                f"final must have shape ({n_models}, {n_params}), got "
                f"{tuple(self.final.shape)}"
            )

    @property
    def point(self) -> Point:
        """Where the training took place."""
        return point_of(self.weights)


def training_path(
    problem: Network,
    *,
    every: int,
    at: At = 1.0,
    n_seeds: int = 1,
    seed: int = 0,
) -> TrainingPath:
    r"""Train a network and keep the parameters before every so many steps.

    A checkpoint stands for the steps until the next. Its rate is the sum of their step
    sizes, times 1/(1 - momentum) for SGD, by which a gradient moves the parameters in
    the end; of Adam it is the plain sum, which knows nothing of its scaling.

    Args:
        problem: A network in float64 with fixed steps.
        every: Steps between checkpoints, >= 1; the first is the initialisation.
        at: The point w: a common weight, or one weight an example.
        n_seeds: Trainings.
        seed: The experiment's seed.

    Returns:
        The path; its last parameters are those that `problem.fit` returns.

    Raises:
        TypeError: If the problem is no network.
        ValueError: If an argument is out of range, or the network cannot be trained by
            steps of many models together.
    """
    if not isinstance(problem, Network):
        raise TypeError(
            "problem must be a Network for checkpoints of its training, got "
            f"{type(problem).__name__}: give a TrainingPath of your own"
        )
    check_at_least(every, 1, "every")
    check_at_least(n_seeds, 1, "n_seeds")
    check_fixed_steps(problem.description, "checkpoints")
    point = resolved_point(at, problem.description.n_train)
    if isinstance(point, Bernoulli):
        raise ValueError("at must be a point for checkpoints, got a subset law")
    check_batchable(problem.task())
    seeds = model_seeds(seed, torch.arange(n_seeds))
    start, weights = problem.initial(seeds), point.repeat(n_seeds, 1)
    check_double(start, "initialisation")
    recorder = _Recorder(problem, every)
    final = train_together(problem.task(), recorder, start, weights, seeds)
    momentum = problem.training.momentum if isinstance(problem.training, SGD) else 0.0
    return TrainingPath(
        params=torch.stack(recorder.kept, 1),
        rates=torch.stack(recorder.rates) / (1 - momentum),
        final=final,
        weights=point,
        n_trained=n_seeds,
        seed=seed,
    )


class _Recorder:
    """A step that keeps the parameters before every so many, and sums step sizes."""

    def __init__(self, problem: Network, every: int) -> None:
        self.take = step_of(problem.task())
        self.every = every
        self.kept: list[Tensor] = []
        self.rates: list[Tensor] = []

    def __call__(self, values: Stack, state: list[Stack], *step: Any) -> None:
        *_, rates, number = step
        if int(number - 1) % self.every == 0:
            self.kept.append(flattened(values).clone())
            self.rates.append(torch.zeros((), dtype=torch.float64))
        self.rates[-1] = self.rates[-1] + rates[0]
        self.take(values, state, *step)

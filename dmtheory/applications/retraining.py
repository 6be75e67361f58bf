"""Retraining without chosen examples: many sets at once, each distinct one once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least, check_positive
from dmtheory.derivatives.units import check_none_diverged
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.points import check_coordinates
from dmtheory.designs.seeds import check_seed, model_seeds
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Description, Problem
from dmtheory.responses.collect import Progress, collect

Sets = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutSets:
    """All examples at one weight but each set; sharing the seed.

    Rows come in the order (draw, [without set 1, without set 2, ...]).

    Attributes:
        sets: The examples that are left out; an empty set leaves out none.
        level: The common weight of all others.
        n_draws: Training seeds.
        seed: The experiment's seed.
    """

    sets: Sets
    level: float = 1.0
    n_draws: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(self.level, "level")
        check_at_least(self.n_draws, 1, "n_draws")
        check_seed(self.seed)

    @property
    def rows_a_draw(self) -> int:
        """One a set."""
        return len(self.sets)

    @property
    def n_models(self) -> int:
        """Trainings in all."""
        return self.rows_a_draw * self.n_draws

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the level, 0 for the members of the row's set."""
        weights = torch.full((len(rows), n_train), self.level, dtype=torch.float64)
        for row, place in zip(weights, (rows % self.rows_a_draw).tolist(), strict=True):
            row[list(self.sets[place])] = 0
        return weights

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row's draw."""
        return model_seeds(self.seed, rows // self.rows_a_draw)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return the covariance over the rows of a draw."""
        rows = self.weights(torch.arange(self.rows_a_draw), n_train)
        return torch.cov(rows.T, correction=0).reshape(n_train, n_train)


@dataclass(frozen=True, slots=True, kw_only=True)
class InAndOut:
    """A random subset with each set added, then with it removed; sharing the seed.

    Rows come in the order (draw, [with set 1, without set 1, with set 2, ...]).

    Attributes:
        sets: The examples that come and go.
        law: The law of all others; it has one row a draw, and the experiment's seed.
    """

    sets: Sets
    law: Bernoulli

    @property
    def rows_a_draw(self) -> int:
        """Two a set."""
        return 2 * len(self.sets)

    @property
    def n_models(self) -> int:
        """Trainings in all."""
        return self.rows_a_draw * self.law.n_models

    def weights(
        self, rows: Int64[Tensor, " models"], n_train: int
    ) -> Float[Tensor, "models train"]:
        """Return the draw's subset, the row's set being in it or not."""
        weights = self.law.weights(rows // self.rows_a_draw, n_train)
        for row, place in zip(weights, (rows % self.rows_a_draw).tolist(), strict=True):
            row[list(self.sets[place // 2])] = 1.0 - place % 2
        return weights

    def seeds(self, rows: Int64[Tensor, " models"]) -> Int64[Tensor, " models"]:
        """Return the seed of each row's draw."""
        return self.law.seeds(rows // self.rows_a_draw)

    def covariance(self, n_train: int) -> Float[Tensor, "train train"]:
        """Return the covariance over subsets and over the rows of a draw."""
        p = self.law.p
        means = torch.full((self.rows_a_draw, n_train), p, dtype=torch.float64)
        free = torch.ones_like(means)
        for place in range(self.rows_a_draw):
            members = list(self.sets[place // 2])
            means[place, members], free[place, members] = 1.0 - place % 2, 0.0
        between = torch.cov(means.T, correction=0).reshape(n_train, n_train)
        return between + torch.diag(p * (1 - p) * free.mean(0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Retrained:
    """How outputs change when sets of examples are removed.

    Attributes:
        sets: The sets, each once, members in increasing order.
        changes: The output without a set minus that with it, for each draw of seed
            (and, under a law, of the other examples).
        outputs: Outputs with nothing removed; None under a law.
        at: What sets are removed from: all examples at a common weight, or random
            subsets.
        description: The problem.
        n_models: Trainings that were spent.
        seed: The experiment's seed; None where nothing was drawn.
    """

    sets: Sets
    changes: Float[Tensor, "draws sets targets"]
    outputs: Float[Tensor, "draws targets"] | None
    at: float | Bernoulli
    description: Description
    n_models: int
    seed: int | None

    def change(self, removed: Sequence[int]) -> Float[Tensor, "draws targets"]:
        """Return how the outputs change without a set.

        Raises:
            ValueError: If models were not trained without it.
        """
        wanted = tuple(sorted(removed))
        if wanted not in self.sets:
            raise ValueError(
                f"removed must be one of the {len(self.sets)} sets that models were "
                f"trained without, got {wanted}"
            )
        return self.changes[:, self.sets.index(wanted)]


def retrain_without(
    problem: Problem,
    sets: Sequence[Sequence[int]],
    *,
    at: float | Bernoulli = 1.0,
    n_seeds: int = 10,
    seed: int = 0,
    engine: Engine | str | None = None,
    progress: Progress | None = None,
) -> Retrained:
    """Train with and without each set of examples, in one batch.

    At a point c·1: F(c·1 - c·1_A) - F(c·1), one training with all examples a seed for
    all sets. At a law: F(S - A) - F(S + A) for random subsets S, the two of a pair
    sharing S and seed; for a single example its expectation is minus the datamodel's
    coefficient, exactly.

    Args:
        problem: The training map and its outputs.
        sets: Sets of training examples; a set that comes twice is trained once.
        at: The common weight that examples are removed from, or a subset law, at
            `at.n_models` subsets of it (drawn with `seed`, not with the law's own).
        n_seeds: Training seeds at a point; one where training is deterministic.
        seed: The experiment's seed.
        engine: Where trainings run; in this process by default.
        progress: Called with the number of models that were just finished.

    Returns:
        The changes of all outputs.

    Raises:
        ValueError: If there is no set, one is empty or takes everything, or a training
            diverged.
    """
    description = problem.description
    distinct = _distinct(sets, description.n_train)
    base: Tensor | None = None
    if isinstance(at, Bernoulli):
        law = Bernoulli(p=at.p, n_models=at.n_models, seed=seed)
        design = InAndOut(sets=distinct, law=law)
        pairs = _trained(problem, design, engine, progress).unflatten(1, (-1, 2))
        changes, n_models = pairs[:, :, 1] - pairs[:, :, 0], design.n_models
    else:
        outputs = outputs_without(
            problem,
            ((), *distinct),
            level=float(at),
            n_seeds=n_seeds,
            seed=seed,
            engine=engine,
            progress=progress,
        )
        base, changes = outputs[:, 0], outputs[:, 1:] - outputs[:, :1]
        n_models = outputs.shape[0] * outputs.shape[1]
    fixed = description.deterministic and not isinstance(at, Bernoulli)
    return Retrained(
        sets=distinct,
        changes=changes,
        outputs=base,
        at=at,
        description=description,
        n_models=n_models,
        seed=None if fixed else seed,
    )


def outputs_without(
    problem: Problem,
    sets: Sets,
    *,
    level: float = 1.0,
    n_seeds: int = 10,
    seed: int = 0,
    engine: Engine | str | None = None,
    progress: Progress | None = None,
) -> Float[Tensor, "draws sets targets"]:
    """Train without each set, an empty one leaving out nothing, and return outputs.

    Args:
        problem: The training map and its outputs.
        sets: Sets of training examples, trained as often as they come.
        level: The common weight of all others.
        n_seeds: Training seeds, shared by all sets; one where training is
            deterministic.
        seed: The experiment's seed.
        engine: Where trainings run; in this process by default.
        progress: Called with the number of models that were just finished.

    Returns:
        Outputs of each seed, set and target.
    """
    n_draws = 1 if problem.description.deterministic else n_seeds
    design = WithoutSets(sets=sets, level=level, n_draws=n_draws, seed=seed)
    return _trained(problem, design, engine, progress)


def _trained(
    problem: Problem,
    design: WithoutSets | InAndOut,
    engine: Engine | str | None,
    progress: Progress | None,
) -> Float[Tensor, "draws rows targets"]:
    responses = collect(problem, design, engine=engine, progress=progress)
    check_none_diverged(responses.diverged)
    return responses.outputs.unflatten(0, (-1, design.rows_a_draw))


def _distinct(sets: Sequence[Sequence[int]], n_train: int) -> Sets:
    found = dict.fromkeys(tuple(sorted(members)) for members in sets)
    check_at_least(len(found), 1, "number of sets")
    for members in found:
        check_coordinates(members, n_train, "examples of a set")
        if len(members) == n_train:
            raise ValueError(f"sets must leave an example, got all {n_train} in one")
    return tuple(found)

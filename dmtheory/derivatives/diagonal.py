"""Higher derivatives along the diagonal: what separates a datamodel from dF/dw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_at_least, check_open_unit, check_positive
from dmtheory.derivatives.curve import Estimate, estimate
from dmtheory.derivatives.method import At, resolved
from dmtheory.derivatives.smoothness import warn_of_jumps
from dmtheory.derivatives.units import check_none_diverged
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.nudges import Nudges
from dmtheory.designs.points import check_step, plain_point
from dmtheory.engines.base import Engine
from dmtheory.estimand import Point
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress, collect


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DiagonalDerivatives:
    """F_i, F_ii, F_iii and sum_{j != i} F_ijj of some examples at a point.

    Attributes:
        first: F_i of each seed.
        second: F_ii.
        third: F_iii.
        mixed: sum_{j != i} F_ijj.
        exact: Whether training is deterministic, so that the one unit has no error.
        train_labels: One label a row.
        target_labels: One label a target.
        point: Where.
        n_models: Trainings spent.
    """

    first: Float[Tensor, "units rows targets"]
    second: Float[Tensor, "units rows targets"]
    third: Float[Tensor, "units rows targets"]
    mixed: Float[Tensor, "units rows targets"]
    exact: bool
    train_labels: tuple[str, ...]
    target_labels: tuple[str, ...]
    point: Point
    n_models: int

    def estimate(self, name: str) -> Estimate:
        """Return the mean over seeds of "first", "second", "third" or "mixed"."""
        return estimate(getattr(self, name), exact=self.exact)

    def correction(self, p: float) -> Estimate:
        r"""Return what follows F_i in the expansion of a datamodel coefficient.

        (1/2)(1-2p) F_ii + (1/2) p(1-p) sum_{j != i} F_ijj + (1/6)(1-3p(1-p)) F_iii,
        for a datamodel at p and derivatives at w = p·1.

        Args:
            p: Inclusion probability in (0, 1).

        Returns:
            The correction, per weight.

        Raises:
            ValueError: If p is out of range.
        """
        check_open_unit(p, "p")
        variance = p * (1 - p)
        units = (
            0.5 * (1 - 2 * p) * self.second
            + 0.5 * variance * self.mixed
            + (1 - 3 * variance) / 6 * self.third
        )
        return estimate(units, exact=self.exact)


def diagonal_derivatives(
    problem: Problem,
    *,
    at: At,
    coordinates: Sequence[int] | None = None,
    step: float = 0.1,
    n_seeds: int = 20,
    seed: int = 0,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> DiagonalDerivatives:
    r"""Take first to third differences of F, all weight vectors sharing their seeds.

    F_ijj from [F(+i+j) - 2 F(+i) + F(+i-j) - F(-i+j) + 2 F(-i) - F(-i-j)]/2h^3, a sum
    over all j != i: at most 4(N - 1) + 4 trainings an example and seed, and one more;
    2N(N - 1) + 4N + 1 for all. Bias O(h^2).

    Args:
        problem: The training map and its outputs; any black box.
        at: The point: a common weight, or one an example, none below h.
        coordinates: Which examples; all by default.
        step: h, at most half the weight of each coordinate. What seeds do not share
            is divided by h^3.
        n_seeds: Training seeds; one where training is deterministic.
        seed: The experiment's seed.
        engine: Where trainings run; in this process by default.
        progress: Called with the number of models that were just finished.

    Returns:
        The derivatives of every seed.

    Raises:
        ValueError: If an argument is out of range or a training diverged.
    """
    point, chosen = resolved(problem, at, coordinates, seed)
    if isinstance(point, Bernoulli):
        raise ValueError("at must be a point w for higher derivatives, got a law")
    check_positive(step, "step")
    check_at_least(n_seeds, 1, "n_seeds")
    check_step(2 * step, point[list(chosen)].min().item())
    check_step(step, point.min().item())
    description = problem.description
    warn_of_jumps(description.output)
    n_seeds = 1 if description.deterministic else n_seeds
    moves = _moves(chosen, description.n_train)
    design = Nudges(
        at=plain_point(point),
        moves=tuple(tuple((i, o * step) for i, o in move) for move in moves),
        n_seeds=n_seeds,
        seed=seed,
    )
    responses = collect(problem, design, engine=engine, progress=progress)
    check_none_diverged(responses.diverged)
    outputs = responses.outputs.unflatten(0, (n_seeds, len(moves)))

    def f(*move: tuple[int, int]) -> Tensor:
        return outputs[:, moves[tuple(sorted(move))]]

    def rows(of: Sequence[Tensor], power: int, divisor: int) -> Tensor:
        return torch.stack(list(of), dim=1) / (divisor * step**power)

    return DiagonalDerivatives(
        first=rows([f((i, 1)) - f((i, -1)) for i in chosen], 1, 2),
        second=rows([f((i, 1)) - 2 * f() + f((i, -1)) for i in chosen], 2, 1),
        third=rows(
            [f((i, 2)) - 2 * f((i, 1)) + 2 * f((i, -1)) - f((i, -2)) for i in chosen],
            3,
            2,
        ),
        mixed=rows([_mixed(f, i, description.n_train) for i in chosen], 3, 2),
        exact=description.deterministic,
        train_labels=tuple(description.train_labels[i] for i in chosen),
        target_labels=description.target_labels,
        point=Point.of(point),
        n_models=responses.n_models,
    )


# A training by the players it moves, each by a number of steps.
_Steps = tuple[tuple[int, int], ...]


def _moves(coordinates: tuple[int, ...], n_train: int) -> dict[_Steps, int]:
    """Return every training that is needed, once, by its row."""
    moves: dict[_Steps, int] = {(): 0}
    for i in coordinates:
        for steps in (1, -1, 2, -2):
            moves.setdefault(((i, steps),), len(moves))
        for j in range(n_train):
            for own in (1, -1):
                for other in (1, -1):
                    if j != i:
                        key = tuple(sorted(((i, own), (j, other))))
                        moves.setdefault(key, len(moves))
    return moves


def _mixed(f: Callable[..., Tensor], i: int, n_train: int) -> Tensor:
    """Return 2h^3 sum_{j != i} F_ijj."""
    others = [j for j in range(n_train) if j != i]
    total = 2 * len(others) * (f((i, -1)) - f((i, 1)))
    for j in others:
        total = total + f((i, 1), (j, 1)) + f((i, 1), (j, -1))
        total = total - f((i, -1), (j, 1)) - f((i, -1), (j, -1))
    return total

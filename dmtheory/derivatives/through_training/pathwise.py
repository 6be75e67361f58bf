"""dF/dw by differentiating through training, exact for each seed."""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import jacrev

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least
from dmtheory.derivatives.along import Along, Examples
from dmtheory.derivatives.averages.subset_average import at_point_or_over_subsets
from dmtheory.derivatives.smoothness import JUMPING
from dmtheory.derivatives.strategies import check_strategy
from dmtheory.derivatives.through_training.modes import Mode, fewest_products
from dmtheory.derivatives.through_training.steps import Unrollable
from dmtheory.derivatives.units import from_labelled_units, point_of
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.engines.base import Engine, run_all
from dmtheory.engines.named import engine_named
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress

_Chunk = tuple[Tensor, Tensor, Tensor | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pathwise:
    r"""d f(Phi(r; w)) / dw_i through every step of training, averaged over seeds r.

    Exact for each seed up to rounding, the normalisation's own share included. Its mean
    over seeds is dF/dw where f moves smoothly with w; jumps of a single model (0/1
    accuracy) have no share in it.

    Attributes:
        n_seeds: Independent units: training seeds at a fixed point, random subsets for
            an average over subsets.
        mode: ReverseMode() for many coordinates and few targets, ForwardMode() for the
            opposite; by default the one that takes fewer products.
        along: What moves: `Examples()`, `Groups()` or `Directions()`. The rows of the
            attribution are these.
    """

    n_seeds: int = 10
    mode: Mode | None = None
    along: Along = Examples()  # noqa: RUF009 -- frozen, without state

    def __post_init__(self) -> None:
        check_at_least(self.n_seeds, 1, "n_seeds")
        check_strategy(self.along, Along, "along", "Groups(groups=...)")
        if self.mode is not None:
            check_strategy(self.mode, Mode, "mode", "ReverseMode()")

    @property
    def name(self) -> str:
        """The way in words, for results."""
        return "pathwise through training"

    @property
    def quantity(self) -> str:
        """What an estimand calls it."""
        return "response derivative"

    def derive(
        self,
        problem: Problem,
        *,
        at: Float[Tensor, " train"] | Bernoulli,
        coordinates: tuple[int, ...],
        seed: int,
        engine: Engine | None = None,
        progress: Progress | None = None,
    ) -> Attribution:
        """Return the mean over seeds, at a subset law over subsets by the trapezoid.

        Raises:
            ValueError: If the training cannot be differentiated step by step, the
                output jumps, training is not in float64, or it diverged.
        """
        paths = self.along.paths(problem.description, coordinates)
        units = at_point_or_over_subsets(
            self,
            problem,
            at,
            paths,
            n_units=self.n_seeds,
            seed=seed,
            engine=engine,
            progress=progress,
        )
        return from_labelled_units(
            units,
            problem.description,
            paths.labels,
            n_train=paths.n_players,
            quantity=self.quantity,
            point=point_of(at),
            n_models=self.n_seeds,
            seed=seed,
            method=f"{self.name}, {self.n_seeds} unit(s)",
        )

    def at_models(
        self,
        problem: Problem,
        weights: Float[Tensor, "models train"],
        seeds: Int64[Tensor, " models"],
        directions: Float[Tensor, "models directions train"] | None = None,
        *,
        engine: Engine | None = None,
        progress: Progress | None = None,
    ) -> Float[Tensor, "models directions targets"]:
        """Return each model's derivative along directions of its weights.

        Args:
            problem: A problem whose training can be unrolled.
            weights: One weight vector a model.
            seeds: One training seed a model.
            directions: Directions in weight space; every example's own by default.
            engine: Where chunks of models run; in this process if None.
            progress: Called with the number of models that were just finished.

        Returns:
            Derivatives per unit of weight.

        Raises:
            ValueError: If the training cannot be differentiated step by step, the
                output jumps, training is not in float64, or it diverged.
        """
        smooth = _smooth(problem)
        _check_weights(weights, smooth)
        steps = smooth.unrolled(weights[:1], seeds[:1])
        if steps.first()[0].dtype != torch.float64:
            raise ValueError(
                "problem must train in float64 for a pathwise derivative, got "
                f"{steps.first()[0].dtype}: say dtype=torch.float64"
            )
        n_train, n_targets = weights.shape[1], problem.description.n_targets
        n_directions = n_train if directions is None else directions.shape[1]
        mode = self.mode or fewest_products(n_directions, n_targets)
        parts = _chunks(
            weights, seeds, directions, mode.chunk(steps, n_directions, n_targets)
        )

        def done(n_parts: int) -> None:
            if progress is not None:
                progress(len(parts[n_parts - 1][1]))

        with engine_named(engine) as workers:
            found = run_all(
                workers, partial(_differentiated, smooth, mode), parts, done
            )
        derivatives = _finite(torch.cat(found))
        if not bool(derivatives.any()):
            _check_moves(smooth, steps.parameters(steps.first())[0])
        return derivatives


def _differentiated(problem: Unrollable, mode: Mode, chunk: _Chunk) -> Tensor:
    weights, seeds, directions = chunk
    return mode.derivatives(problem, problem.unrolled(weights, seeds), directions)


def _chunks(
    weights: Tensor, seeds: Tensor, directions: Tensor | None, size: int
) -> list[_Chunk]:
    """Cut models into chunks, as equal as can be."""
    n_chunks = -(-len(weights) // size)
    even = -(-len(weights) // n_chunks)
    none = [None] * n_chunks
    return list(
        zip(
            weights.split(even),
            seeds.split(even),
            none if directions is None else directions.split(even),
            strict=False,
        )
    )


def _smooth(problem: Problem) -> Unrollable:
    """Return the problem if its output can be differentiated through its training."""
    output = problem.description.output
    if output in JUMPING:
        raise ValueError(
            f"output must be smooth for a pathwise derivative, got {output!r}: it "
            "moves by jumps alone, which the derivative of a single model misses; use "
            "FiniteDifference(), or a smooth output such as 'margin'"
        )
    if not isinstance(problem, Unrollable):
        raise ValueError(
            "problem must offer its training step by step (`unrolled`, as "
            f"problems.Network does) for a pathwise derivative, got "
            f"{type(problem).__name__}: use FiniteDifference(), which needs its "
            "responses alone, or Implicit() where it is convex"
        )
    return problem


def _check_weights(weights: Tensor, problem: Unrollable) -> None:
    if problem.description.normalisation == "sum" and bool((weights.sum(1) == 0).any()):
        raise ValueError(
            "weights must not be all zero under the normalisation 'sum': the response "
            "jumps there; take normalisation='count', more examples, or a larger p"
        )


def _finite(found: Tensor) -> Tensor:
    wrong = ~torch.isfinite(found).flatten(1).all(1)
    if bool(wrong.any()):
        raise ValueError(
            f"{int(wrong.sum())} of {len(wrong)} trainings diverged, the first in row "
            f"{int(wrong.nonzero()[0])}: lower the learning rate"
        )
    return found


def _check_moves(problem: Unrollable, params: Float[Tensor, " params"]) -> None:
    """Refuse zeros that are those of a step function.

    Others are true: scale-free training does not move along its own weights.

    Raises:
        ValueError: If no output moves with the parameters.
    """
    if not bool(jacrev(problem.target_outputs)(params).any()):
        raise ValueError(
            f"output {problem.description.output!r} must move with the parameters for "
            "a pathwise derivative, but none does: a step function's derivative is "
            "zero though its expectation moves; use FiniteDifference()"
        )

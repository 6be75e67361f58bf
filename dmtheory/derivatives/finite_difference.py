"""dF/dw by central differences over seeds, with common random numbers."""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least, check_positive
from dmtheory.derivatives.units import check_none_diverged, from_units, point_of
from dmtheory.designs.base import Design
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.perturbations import CoordinatePairs, SubsetPairs
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress, collect


@dataclass(frozen=True, slots=True, kw_only=True)
class FiniteDifference:
    r"""Central differences [F(w + h e_i; s) - F(w - h e_i; s)] / 2h, averaged over s.

    Both sides share the seed s, so the seed noise of F cancels and only that of the
    derivative stays. Bias O(h^2). Works on any problem, smooth or not.

    Attributes:
        step: h, in weight; at w = c·1 at most c.
        n_seeds: Independent units behind each derivative: training seeds at a fixed
            point, units of two random subsets for an average over subsets.
    """

    step: float = 0.05
    n_seeds: int = 20

    def __post_init__(self) -> None:
        check_positive(self.step, "step")
        check_at_least(self.n_seeds, 1, "n_seeds")

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
        description = problem.description
        drawn = isinstance(at, Bernoulli) or not description.deterministic
        used = self if drawn else replace(self, n_seeds=1)
        design = used.design(at, coordinates, seed)
        responses = collect(problem, design, engine=engine, progress=progress)
        check_none_diverged(responses.diverged)
        return from_units(
            used.quotients(responses.outputs, coordinates),
            description,
            coordinates,
            quantity="response derivative",
            point=point_of(at),
            n_models=responses.n_models,
            seed=seed if drawn else None,
            method=f"central differences, step {self.step:g}, {used.n_seeds} unit(s)",
        )

    def design(
        self,
        at: Float[Tensor, " train"] | Bernoulli,
        coordinates: tuple[int, ...],
        seed: int,
    ) -> Design:
        """Return the trainings that the differences need."""
        if isinstance(at, Bernoulli):
            return SubsetPairs(
                p=at.p,
                step=self.step,
                coordinates=coordinates,
                n_units=self.n_seeds,
                seed=seed,
            )
        return CoordinatePairs(
            at=tuple(at.tolist()),
            steps=(self.step,),
            coordinates=coordinates,
            n_seeds=self.n_seeds,
            seed=seed,
        )

    def quotients(
        self,
        outputs: Float[Tensor, "models targets"],
        coordinates: tuple[int, ...],
    ) -> Float[Tensor, "units train targets"]:
        """Return one difference quotient a unit and coordinate.

        Args:
            outputs: Responses of the design, in its row order.
            coordinates: The design's coordinates.

        Returns:
            Quotients, averaged over the subsets of a unit where it has two.
        """
        pairs = outputs.reshape(self.n_seeds, -1, len(coordinates), 2, outputs.shape[1])
        return ((pairs[..., 0, :] - pairs[..., 1, :]) / (2 * self.step)).mean(1)

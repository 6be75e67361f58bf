"""dF/dw of all examples at once, by regression on random directions."""

from dataclasses import dataclass, replace
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory import designs
from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least
from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.datamodels.estimators.ols import OLS
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.derivatives.along import Examples, Groups
from dmtheory.derivatives.differences.group_directions import GroupDirections
from dmtheory.derivatives.smoothness import warn_of_jumps
from dmtheory.derivatives.units import point_of
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.points import At, plain_point
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Description, Problem
from dmtheory.responses.collect import Progress, collect

# Pairs an example where the caller names no number.
_PAIRS_AN_EXAMPLE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomDirections:
    r"""Half differences F(w + h z; s) - F(w - h z; s) regressed on h z.

    A datamodel with real-valued weights: the same estimators, the same inference. All N
    derivatives come from one set of trainings. Around w = 1/2 with h = 1/2 and
    Rademacher directions it is the datamodel of complementary pairs.

    Bias (h^2/6)(kappa F_iii + 3 sum_{j != i} F_ijj) + O(h^4), kappa the kurtosis of a
    direction's entries; the pair's common seed cancels what a seed adds to F, and what
    it adds to the other examples' derivatives stays as noise (see
    `theory.noise_laws`).

    Attributes:
        step: h, in weight; no weight may fall below 0 on the way.
        n_pairs: Pairs of trainings, each with a fresh direction and seed; twice as many
            as examples by default.
        law: "rademacher", "gaussian" (cut off at 4 standard deviations) or "sparse".
        density: Share of non-zero entries of a sparse direction.
        estimator: `OLS()`, which needs more pairs than examples; with fewer
            `DifferenceOfMeans()`, the unbiased mean of z times the quotient, or
            `Ridge()`.
        along: What moves: `Examples()`, or `Groups()`, whose entry of a direction is
            that of all their examples. The rows of the attribution are these.

    References:
        Spall 1992 for simultaneous perturbations.
    """

    step: float = 0.05
    n_pairs: int | None = None
    law: str = "rademacher"
    density: float = 0.1
    estimator: DatamodelEstimator = OLS()  # noqa: RUF009 -- frozen, without state
    along: Examples | Groups = Examples()  # noqa: RUF009 -- frozen, without state

    def __post_init__(self) -> None:
        if self.n_pairs is not None:
            check_at_least(self.n_pairs, 1, "n_pairs")
        if not isinstance(self.along, Examples | Groups):
            raise ValueError(
                "along must be Examples() or Groups() for random directions, got "
                f"{type(self.along).__name__}()"
            )
        # The design refuses the rest; around a weight that is no bound to the step.
        self.design(at=torch.full((1,), 1e300, dtype=torch.float64), seed=0)

    def n_pairs_for(self, n_train: int) -> int:
        """Return how many pairs are trained for so many examples, or groups."""
        return self.n_pairs or _PAIRS_AN_EXAMPLE * n_train

    def design(
        self, at: Float[Tensor, " train"], seed: int
    ) -> designs.RandomDirections | GroupDirections:
        """Return the pairs around a point."""
        point = plain_point(at)
        if isinstance(self.along, Examples):
            return self._law(point, len(at), seed)
        groups = self.along.groups
        law = self._law(at.min().item(), max(groups) + 1, seed)
        return GroupDirections(at=point, law=law, groups=groups)

    def _law(self, at: At, n_players: int, seed: int) -> designs.RandomDirections:
        return designs.RandomDirections(
            at=at,
            step=self.step,
            law=self.law,
            density=self.density,
            n_pairs=self.n_pairs_for(n_players),
            seed=seed,
        )

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
        """Return the regression's coefficients on the chosen examples.

        Raises:
            ValueError: At a subset law, where a step leaves w >= 0, or where the
                estimator needs more pairs.
        """
        if isinstance(at, Bernoulli):
            raise ValueError(
                "at must be a point w for random directions, got a subset law: there "
                "the regression on subsets is fit_datamodel's"
            )
        description = problem.description
        warn_of_jumps(description.output)
        rows = self.along.paths(description, coordinates)
        design = self.design(at, seed)
        responses = collect(problem, design, engine=engine, progress=progress)
        # The regression knows directions around one common weight alone; which one
        # moves nothing but the intercept, since only half differences are regressed.
        law, level = _around_a_level(design, at)
        players = replace(description, train_labels=self._labels(description))
        around = replace(responses, design=law, description=players)
        fitted = fit_datamodel(around, estimator=self.estimator)
        shift = (level - rows.of_players(at)) @ fitted.scores
        chosen = replace(
            fitted,
            intercept=cast(Tensor, fitted.intercept) + shift,
            estimand=replace(fitted.estimand, point=point_of(at)),
            method=f"{self.law} directions, step {self.step:g}, {law.n_pairs} "
            f"pairs, {fitted.method}",
        )
        return chosen.restricted(rows.labels)

    def _labels(self, description: Description) -> tuple[str, ...]:
        """Return the labels of all players."""
        everyone = self.along
        if isinstance(everyone, Groups):
            everyone = replace(everyone, chosen=None)
        return everyone.paths(description, tuple(range(description.n_train))).labels


def _around_a_level(
    design: designs.RandomDirections | GroupDirections, at: Tensor
) -> tuple[designs.RandomDirections, float]:
    """Return directions over players around one common weight, and that weight."""
    law = design.law if isinstance(design, GroupDirections) else design
    level = design.at if isinstance(design.at, float) else at.max().item()
    return replace(law, at=level), level

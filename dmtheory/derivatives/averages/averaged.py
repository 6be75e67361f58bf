"""The bridge: a datamodel from derivatives at models trained on random subsets."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least
from dmtheory.derivatives.along import Along, Examples
from dmtheory.derivatives.averages.by_models import ModelDerivatives, contracted
from dmtheory.derivatives.averages.subset_average import SubsetRule, Trapezoid
from dmtheory.derivatives.strategies import check_strategy
from dmtheory.derivatives.units import from_labelled_units, point_of
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.engines.base import Engine
from dmtheory.influence.classical import weight_derivatives
from dmtheory.influence.curvature import Curvature, ExactHessian
from dmtheory.problems.base import DifferentiableProblem, Problem
from dmtheory.responses.collect import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragedDerivative:
    r"""E_S int_0^1 g_i(1_{S-i} + t e_i) dt: the datamodel coefficient beta_i(p).

    The average over random subsets S ~ Bernoulli(p) and over the example's own weight
    of the response derivative; it is the coefficient of the least-squares datamodel
    whatever the response, as long as it is continuous in w_i (theory.md, 2.2).

    Attributes:
        by: How the output of one trained model is differentiated: Pathwise(),
            Implicit(), or ByInfluence().
        rule: Trapezoid(), which has all coordinates of every model, or OwnWeight(),
            which is exact in expectation.
        n_units: Independent units, each with subsets and seeds of its own.
        along: `Examples()`, or `Groups()`, which are players then: subsets of groups,
            and each group's own weight.
    """

    by: ModelDerivatives
    rule: SubsetRule = Trapezoid()  # noqa: RUF009 -- frozen, without state
    n_units: int = 20
    along: Along = Examples()  # noqa: RUF009 -- frozen, without state

    def __post_init__(self) -> None:
        check_strategy(self.by, ModelDerivatives, "by", "Pathwise() or Implicit()")
        check_strategy(self.rule, SubsetRule, "rule", "Trapezoid()")
        check_strategy(self.along, Along, "along", "Groups(groups=...)")
        check_at_least(self.n_units, 1, "n_units")

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
        """Return the average, with standard errors over units.

        Raises:
            ValueError: If the point is no subset law, rows are no players, or a model
                cannot be differentiated.
        """
        if not isinstance(at, Bernoulli):
            raise ValueError(
                "at must be a subset law for an averaged derivative, such as "
                "designs.Bernoulli(p=0.5), got a weight vector"
            )
        paths = self.along.paths(problem.description, coordinates)
        units = self.rule.units(
            self.by,
            problem,
            at.p,
            paths,
            n_units=self.n_units,
            seed=seed,
            engine=engine,
            progress=progress,
        )
        n_models = self.rule.n_models(self.n_units, len(paths.directions))
        return from_labelled_units(
            units,
            problem.description,
            paths.labels,
            n_train=paths.n_players,
            quantity=self.by.quantity,
            point=point_of(at),
            n_models=n_models,
            seed=seed,
            method=f"{self.by.name}, {self.rule.name}, {n_models} model(s)",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ByInfluence:
    """Influence at each trained model, in place of its pathwise derivative.

    Attributes:
        curvature: The exact Hessian or the Gauss-Newton matrix.
        damping: Added to the curvature of J, in its units, >= 0.
    """

    curvature: Curvature = ExactHessian()  # noqa: RUF009 -- frozen, without state
    damping: float = 0.0

    @property
    def name(self) -> str:
        """The way in words, for results."""
        return f"influence by the {self.curvature.name}, damping {self.damping:g}"

    @property
    def quantity(self) -> str:
        """What an estimand calls it."""
        return "influence"

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
        """Return each model's influence per unit of weight along directions.

        Raises:
            ValueError: If the problem has no losses and outputs to differentiate.
        """
        if not isinstance(problem, DifferentiableProblem):
            raise ValueError(
                "problem must offer its losses and outputs as functions of its "
                f"parameters for influence, got {type(problem).__name__}"
            )
        found = weight_derivatives(
            problem,
            weights,
            seeds,
            curvature=self.curvature,
            damping=self.damping,
            progress=progress,
        )
        return contracted(found.mT, directions)

"""The routes to dF/dw, and what each costs by the law of a small pilot."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt

from dmtheory.agreement.bootstrap import Interval
from dmtheory.attribution import Attribution
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.derivatives.averages.averaged import AveragedDerivative
from dmtheory.derivatives.averages.by_models import ModelDerivatives
from dmtheory.derivatives.cost import CostRow, cost_table
from dmtheory.derivatives.differences.finite_difference import FiniteDifference
from dmtheory.derivatives.differences.random_directions import RandomDirections
from dmtheory.derivatives.differences.stencils import Forward
from dmtheory.derivatives.implicit import Implicit
from dmtheory.derivatives.method import At, DerivativeMethod
from dmtheory.derivatives.response_derivative import response_derivative
from dmtheory.derivatives.through_training.pathwise import Pathwise
from dmtheory.designs.base import Design
from dmtheory.designs.bernoulli import Bernoulli
from dmtheory.designs.pairs import ComplementaryPairs
from dmtheory.designs.points import random_coordinates
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import collect

P = 0.5
# Share of the root mean square of dF/dw that the median standard error is to reach.
WANTED = 0.1
# Seeds, or subsets, behind each pilot; and coordinates of the differences, whose price
# for all examples is known.
UNITS, COORDINATES = {False: 8, True: 20}, {False: 6, True: 12}
STEP, FORWARD_STEP = 0.1, 0.01
DERIVATIVE, DATAMODEL = "dF/dw at w = p·1", "datamodel coefficient β(p)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A way to all N scores, with what a pilot of it cost.

    Its squared error falls as 1/(m - overhead) in the number m of trainings.

    Attributes:
        name: Its name.
        estimand: What it estimates.
        price: In what trainings are counted.
        pilot: The estimate, perhaps of a few examples.
        spent: Trainings that the same errors of all N would have taken.
        overhead: Trainings without which there are no scores at all.
        least: The fewest trainings that give scores.
    """

    name: str
    estimand: str
    price: str
    pilot: Attribution
    spent: int
    overhead: int = 0
    least: int = 1

    def needed(self, beyond: Interval) -> Interval:
        """Return all trainings where so many are needed beyond the overhead."""
        if self.pilot.exact:
            return Interval.exact(float(self.spent))
        ends = (beyond.value, beyond.low, beyond.high)
        return Interval(*(max(self.overhead + m, float(self.least)) for m in ends))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a route costs at one N.

    Attributes:
        route: The route.
        error: The pilot's median standard error over the derivative's size.
        needed: Trainings for the error wanted.
    """

    route: Route
    error: Interval
    needed: Interval


def costs(problem: Problem, *, thorough: bool, seed: int) -> list[Cost]:
    """Pilot every route and return what each would cost."""
    routes = _routes(problem, thorough, seed)
    size = _size(next(r.pilot for r in routes if r.least == 1))
    # The table's law is 1/m: it is given the trainings beyond the overhead.
    beyond = [(r.name, replace(r.pilot, n_models=r.spent - r.overhead)) for r in routes]
    rows = cost_table(beyond, WANTED * size)
    return [_cost(route, row, size) for route, row in zip(routes, rows, strict=True)]


def _cost(route: Route, row: CostRow, size: float) -> Cost:
    needed = row.trainings
    assert needed is not None and row.stderr is not None
    error = row.stderr / size
    found = Interval.exact(error)
    if not route.pilot.exact:
        ends = (error * sqrt(m / needed.value) for m in (needed.low, needed.high))
        found = Interval(error, *ends)
    return Cost(route=route, error=found, needed=route.needed(needed))


def _size(derivative: Attribution) -> float:
    """Return the root mean square of the derivative, its errors' share taken out."""
    square = derivative.scores.square()
    if derivative.stderr is not None:
        square = square - derivative.stderr.square()
    return sqrt(max(square.mean().item(), 1e-300))


def _routes(problem: Problem, thorough: bool, seed: int) -> list[Route]:
    n, n_units = problem.description.n_train, UNITS[thorough]
    exact = problem.description.deterministic
    n_seeds = 1 if exact else n_units
    some = random_coordinates(n, min(COORDINATES[thorough], n), seed=0)
    n_pairs = n + max(n // 2, 12)
    through: ModelDerivatives = Implicit() if exact else Pathwise()
    at_once: DerivativeMethod = Implicit() if exact else Pathwise(n_seeds=n_units)
    streams = iter(range(seed, seed + 100))

    def derived(
        method: DerivativeMethod, at: At = P, only: tuple[int, ...] | None = None
    ) -> Attribution:
        return response_derivative(
            problem, method, at=at, coordinates=only, seed=next(streams)
        )

    def fitted(make: Callable[[int], Design]) -> Attribution:
        return fit_datamodel(collect(problem, make(next(streams))))

    central = FiniteDifference(step=STEP, n_seeds=n_seeds)
    forward = FiniteDifference(step=FORWARD_STEP, n_seeds=n_seeds, rule=Forward())
    averaged = AveragedDerivative(by=through, n_units=n_units)
    name = "implicit function" if exact else "pathwise"
    return [
        Route(
            name=name,
            estimand=DERIVATIVE,
            price="one training, differentiated, a seed",
            pilot=derived(at_once),
            spent=n_seeds,
        ),
        Route(
            name="forward differences",
            estimand=DERIVATIVE,
            price="N + 1 a seed",
            pilot=derived(forward, only=some),
            spent=(n + 1) * n_seeds,
            least=n + 1,
        ),
        Route(
            name="central differences",
            estimand=DERIVATIVE,
            price="2N a seed",
            pilot=derived(central, only=some),
            spent=2 * n * n_seeds,
            least=2 * n,
        ),
        Route(
            name="random directions",
            estimand=DERIVATIVE,
            price="two a pair, more than N + 1 pairs",
            pilot=derived(RandomDirections(step=STEP, n_pairs=n_pairs)),
            spent=2 * n_pairs,
            overhead=2 * (n + 1),
            least=2 * (n + 2),
        ),
        Route(
            name="averaged derivative",
            estimand=f"{DATAMODEL}, by the trapezoid",
            price="one training, differentiated, a random subset",
            pilot=derived(averaged, Bernoulli(p=P)),
            spent=n_units,
            least=2,
        ),
        Route(
            name="datamodel, pairs",
            estimand=DATAMODEL,
            price="two a pair, more than N + 1 pairs",
            pilot=fitted(lambda s: ComplementaryPairs(n_pairs=n_pairs, seed=s)),
            spent=2 * n_pairs,
            overhead=2 * (n + 1),
            least=2 * (n + 2),
        ),
        Route(
            name="datamodel, independent masks",
            estimand=DATAMODEL,
            price="one a mask, more than N + 2",
            pilot=fitted(lambda s: Bernoulli(p=P, n_models=2 * n_pairs, seed=s)),
            spent=2 * n_pairs,
            overhead=n + 2,
            least=n + 3,
        ),
    ]

"""What each route to a derivative or a datamodel costs for its accuracy.

    python -m benchmarks.derivative_routes

The digits network of the small suite, 300 examples, 30 targets, `count`, double
precision, one thread. Differences, directions and the derivative through training are
taken at w = p·1 with p = 1/2, averages and datamodels over subsets of p = 1/2: three
estimands, which each row names, close to one another there. Every route is run twice
with seeds of its own; its error is seen in the difference of the two as well as stated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.timing import machine, one_thread, publish, seconds
from dmtheory import (
    Attribution,
    AveragedDerivative,
    FiniteDifference,
    Forward,
    Pathwise,
    RandomDirections,
    collect,
    fit_datamodel,
    response_derivative,
)
from dmtheory.catalogue import ready_problem
from dmtheory.designs import Bernoulli, ComplementaryPairs

P = 0.5
EXAMPLES = 300
WANTED = 0.01
PROBLEM = ready_problem("digits-network", "count")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route at one size.

    Attributes:
        estimate: Returns the estimate of a seed.
        lost: Trainings that a regression takes before it has any accuracy: its
            variance falls as 1/(trainings - lost).
    """

    estimate: Callable[[int], Attribution]
    lost: int = 0


def by(method: Any, at: Any = P, lost: int = 0) -> Route:
    """Return the route of a method of differentiating."""
    return Route(
        estimate=lambda seed: response_derivative(PROBLEM, method, at=at, seed=seed),
        lost=lost,
    )


def datamodel(design: Callable[[int], Any], lost: int) -> Route:
    """Return the route of least squares on a design."""
    return Route(
        estimate=lambda seed: fit_datamodel(collect(PROBLEM, design(seed))), lost=lost
    )


OF_PAIRS = 2 * (EXAMPLES + 1)
ROUTES: dict[str, Route] = {
    "central differences": by(FiniteDifference(step=0.1, n_seeds=4)),
    "forward differences": by(FiniteDifference(step=0.01, n_seeds=8, rule=Forward())),
    "random directions": by(RandomDirections(step=0.1, n_pairs=1200), lost=OF_PAIRS),
    "pathwise": by(Pathwise(n_seeds=24)),
    "averaged derivative": by(
        AveragedDerivative(by=Pathwise(), n_units=48), Bernoulli(p=P)
    ),
    "datamodel, pairs": datamodel(
        lambda seed: ComplementaryPairs(n_pairs=1200, seed=seed), OF_PAIRS
    ),
    "datamodel, independent subsets": datamodel(
        lambda seed: Bernoulli(p=P, n_models=2400, seed=seed), EXAMPLES + 2
    ),
}


def size(values: torch.Tensor) -> float:
    """Return the root of the mean square."""
    return values.square().mean().sqrt().item()


def row(route: Route) -> tuple[dict[str, Any], torch.Tensor]:
    """Run a route twice and return its row, and the mean of both."""
    taken, found = zip(
        *(seconds(lambda s=s: route.estimate(s)) for s in (1, 2)), strict=True
    )
    one, other = found
    assert one.stderr is not None
    assert other.stderr is not None
    stated = size(torch.cat([one.stderr, other.stderr]))
    # Two independent estimates differ by an error of twice the variance.
    seen = size((one.scores - other.scores) / 2**0.5)
    models, cpu = one.n_models, sum(taken) / 2
    needed = (models - route.lost) * (seen / WANTED) ** 2 + route.lost
    return {
        "estimand": str(one.estimand),
        "trainings": models,
        "CPU seconds": cpu,
        "standard error, stated": stated,
        "standard error, seen": seen,
        "error x sqrt(trainings)": seen * models**0.5,
        f"trainings for an error of {WANTED}": needed,
        f"CPU seconds for an error of {WANTED}": cpu * needed / models,
    }, (one.scores + other.scores) / 2


def main() -> None:
    """Run every route and keep the JSON."""
    rows, means = {}, {}
    with one_thread():
        # The first of each kind waits for the recording of a step.
        collect(PROBLEM, Bernoulli(p=P, n_models=64))
        for _ in range(2):
            response_derivative(PROBLEM, Pathwise(n_seeds=8))
        for name, route in ROUTES.items():
            rows[name], means[name] = row(route)
    truth = means["pathwise"]
    publish(
        "derivative_routes",
        {
            "machine": machine("torch", "numpy"),
            "examples": EXAMPLES,
            "targets": PROBLEM.description.n_targets,
            "size of a derivative": size(truth),
            "routes": rows,
            "slope on pathwise": {
                name: ((mean * truth).sum() / truth.square().sum()).item()
                for name, mean in means.items()
            },
        },
    )


if __name__ == "__main__":
    main()

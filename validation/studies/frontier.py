"""Cost against accuracy: which route to dF/dw takes the fewest trainings."""

from dataclasses import replace
from math import sqrt

import numpy as np

from dmtheory.data.digits import digits
from dmtheory.engines.base import run_all
from dmtheory.problems.base import Problem
from dmtheory.problems.network import Network
from validation.problems import resized
from validation.studies.routes import WANTED, Cost, costs
from validation.studies.smaller import Linear, with_targets
from validation.studies.study import Json, Made, Run, Study, chart, series

# Of the suite's digits network; sizes of the convex problem are those of its family.
SIZES = {False: (30, 50, 80), True: (75, 150, 300)}
CONVEX_SIZES = (44, 88, 176, 352)
TARGETS = {False: 6, True: 30}
# The laws are drawn down to this error.
_LEAST_ERROR = 0.03


def make(run: Run, name: str) -> Made:
    """Pilot every route at several N."""
    laboratory = run.laboratory
    base = laboratory.problem(name)
    neural = isinstance(base, Network)
    sizes = SIZES[run.thorough] if neural else CONVEX_SIZES
    seed = 100 * laboratory.experiment_seed("derivative") + 1
    # The largest first: it takes longest, and each runs in one process.
    order = sorted(sizes, reverse=True)
    tasks = [
        (_resized(base, name, n, TARGETS[run.thorough]), run.thorough, seed)
        for n in order
    ]
    piloted = dict(zip(order, run_all(laboratory.engine, _piloted, tasks), strict=True))
    found = {n: piloted[n] for n in sizes}
    for row in found.values():
        laboratory.models_trained += sum(cost.route.pilot.n_models for cost in row)
    last = found[sizes[-1]]
    return Made(
        figures=[_against_size(found), _against_error(last, sizes[-1])],
        legend=tuple(
            (cost.route.name, f"{cost.route.estimand}; {cost.route.price}")
            for cost in last
        ),
    )


def _piloted(task: tuple[Problem, bool, int]) -> list[Cost]:
    problem, thorough, seed = task
    return costs(problem, thorough=thorough, seed=seed)


def _resized(base: Problem, name: str, n: int, n_targets: int) -> Problem:
    if not isinstance(base, Network):
        sized = resized(name, n)
        assert isinstance(sized, Linear)
        return with_targets(sized, n_targets)
    return replace(base, data=digits(n_train=n, n_targets=n_targets))


def _against_size(found: dict[int, list[Cost]]) -> Json:
    sizes = list(found)
    names = [cost.route.name for cost in found[sizes[0]]]
    return chart(
        [
            series(name, sizes, [found[n][place].needed for n in sizes])
            for place, name in enumerate(names)
        ],
        title=f"Trainings for all N scores at a relative error of {WANTED:g}",
        x_label="training examples N",
        y_label="trainings",
        log="xy",
        x_ticks=sizes,
        caption="Median standard error over the root mean square of dF/dw, from small "
        "pilots by the law 1/m, of regressions by that of what exceeds N; never fewer "
        "trainings than give scores at all.",
    )


def _against_error(found: list[Cost], n: int) -> Json:
    """Return each pilot and its law, from the fewest trainings to a small error."""
    return chart(
        [
            {
                **series(cost.route.name, [cost.route.spent], [cost.error]),
                "trend": None if cost.route.pilot.exact else law(cost),
            }
            for cost in found
        ],
        title=f"Relative error against trainings, N = {n}",
        x_label="trainings for all N scores",
        y_label="median standard error over the size of dF/dw",
        log="xy",
        caption="Marks are the pilots, lines their laws; differences were piloted on a "
        "few examples and are priced for all.",
    )


def law(cost: Cost) -> Json:
    """Return the error at so many trainings, falling as 1/sqrt(m - overhead)."""
    route = cost.route
    spent = route.spent - route.overhead
    least = max(route.least - route.overhead, 1)
    most = max(spent * (cost.error.value / _LEAST_ERROR) ** 2, spent)
    places = np.geomspace(least, most, 12).tolist()
    return {
        "x": [route.overhead + m for m in places],
        "y": [cost.error.value * sqrt(spent / m) for m in places],
    }


def _study(scale: str, problem: str) -> Study:
    return Study(
        id="frontier",
        title="Cost against accuracy: the routes to dF/dw",
        text="How many trainings each route takes until the median standard error of "
        f"its N scores is {WANTED:g} of the size of dF/dw, at p = 1/2. A training that "
        "is differentiated counts as one, and takes the time of some tens. The "
        "datamodel and the averaged derivative estimate β(p), which is another number "
        "than dF/dw.",
        scale=scale,
        explains=("matched-derivative", "bridge"),
        problems=lambda run: (problem,) if scale == "M" or run.thorough else (),
        make=make,
    )


OF_NETWORKS, OF_CONVEX = _study("M", "digits-sum"), _study("V", "diabetes-sum")

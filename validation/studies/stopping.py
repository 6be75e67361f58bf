"""How many trainings a rule takes that stops by itself, beside what hindsight takes."""

from itertools import pairwise
from math import exp, log

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.lds import lds
from dmtheory.agreement.subset_outputs import SubsetOutputs
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.fit import fit_datamodel
from dmtheory.datamodels.inference.forecast import Score
from dmtheory.datamodels.inference.stopping import Look, stop_at, stopping_sizes
from dmtheory.theory.noise_laws import ridge_law
from validation.laboratory import Laboratory
from validation.studies.study import Json, chart, series

# Of outputs of one training seed, smooth and rough; stated beforehand.
GOALS = {"digits-sum": 0.7, "digits-count": 0.7, "digits-rough-count": 0.55}
LEAST, GROWTH = 100, 1.25


def stopping_figure(laboratory: Laboratory, name: str, held_out: SubsetOutputs) -> Json:
    """Apply the rule to the suite's pairs, in the order in which they were trained.

    What it foretells comes from the pairs alone; what is reached is scored on held-out
    subsets, one seed each, which it has not seen.
    """
    goal = Score(GOALS[name])
    n_train = laboratory.problem(name).description.n_train
    most = laboratory.responses(name).n_models
    sizes = stopping_sizes(
        n_train, most=most, least=LEAST, growth=GROWTH, law=ridge_law
    )
    found = stop_at(
        lambda m: laboratory.first_responses(name, m), sizes, goal, law=ridge_law
    )
    reached = [_reached(laboratory, name, m, held_out) for m in sizes]
    return stopping_chart(found.looks, sizes, reached, goal.value, found.reached)


def _reached(
    laboratory: Laboratory, name: str, n_models: int, held_out: SubsetOutputs
) -> Interval:
    responses = laboratory.first_responses(name, n_models)
    fitted = fit_datamodel(responses, estimator=Ridge())
    return lds(fitted, held_out).mean


def stopping_chart(
    looks: tuple[Look, ...],
    sizes: tuple[int, ...],
    reached: list[Interval],
    goal: float,
    stopped: bool,
) -> Json:
    """Return the rule's forecasts beside what was reached, and what it took."""
    spent = looks[-1].n_models
    fewest = hindsight(sizes, [one.value for one in reached], goal)
    caption = (
        f"Stopped after {spent:,} trainings"
        if stopped
        else f"Not sure of it after {spent:,} trainings"
    )
    caption += (
        "; no number up to the last reaches it."
        if fewest is None
        else f"; in hindsight the held-out subsets ask for about "
        f"{fewest:,.0f}: the rule took {spent / fewest:.2f} times as many."
    )
    return chart(
        [
            series(
                "foretold from the pairs, with the rule's lower limit",
                [look.n_models for look in looks],
                [Interval(k.predicted, k.limit, k.predicted) for k in looks],
            ),
            series("reached on held-out subsets", sizes, reached),
            series("goal", [sizes[0], sizes[-1]], [goal, goal], mark="line"),
        ],
        title="A rule that stops by itself",
        x_label="trainings of pairs with a shared seed",
        y_label="linear datamodeling score, one seed a subset",
        caption=caption,
        log="x",
    )


def hindsight(sizes: tuple[int, ...], scores: list[float], goal: float) -> float | None:
    """Return where the scores first reach the goal, between sizes by log m."""
    if scores[0] >= goal:
        return float(sizes[0])
    for (m, low), (more, high) in pairwise(zip(sizes, scores, strict=True)):
        if high >= goal:
            return m * exp((goal - low) / (high - low) * log(more / m))
    return None

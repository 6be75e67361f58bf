"""Problems of the suite with fewer targets: a study needs few."""

from dataclasses import replace
from typing import TypeVar

from dmtheory.problems.linear import LeastSquares
from dmtheory.problems.logistic import LogisticRegression

Linear = LeastSquares | LogisticRegression
Model = TypeVar("Model", bound=Linear)


def with_targets(problem: Model, n_targets: int) -> Model:
    """Return a linear model's problem with its first targets alone."""
    data = problem.data
    raw = None if data.raw_target is None else data.raw_target[:n_targets]
    fewer = replace(
        data,
        x_target=data.x_target[:n_targets],
        y_target=data.y_target[:n_targets],
        target_labels=data.target_labels[:n_targets],
        raw_target=raw,
    )
    return replace(problem, data=fewer)

"""The response derivative g_i(w) = dF/dw_i, with standard errors over seeds."""

from collections.abc import Sequence

from dmtheory.attribution import Attribution
from dmtheory.derivatives.differences.finite_difference import FiniteDifference
from dmtheory.derivatives.differences.leave_one_out import leave_one_out
from dmtheory.derivatives.method import At, DerivativeMethod, resolved
from dmtheory.derivatives.strategies import check_strategy
from dmtheory.derivatives.units import from_units, point_of
from dmtheory.engines.base import Engine
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress

__all__ = ["from_units", "leave_one_out", "point_of", "response_derivative"]


def response_derivative(
    problem: Problem,
    method: DerivativeMethod = FiniteDifference(),  # noqa: B008 -- frozen
    *,
    at: At = 1.0,
    coordinates: Sequence[int] | None = None,
    seed: int = 0,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Attribution:
    r"""Estimate g_i(w) = dF/dw_i of the expected output F(w) = E_r f(Phi(r; w)).

    Per unit of w_i; positive: more weight raises the output. At a subset law it is
    the average E_S int_0^1 g_i(1_{S-i} + t e_i) dt, which the bridge says is the
    datamodel coefficient.

    Args:
        problem: The training map and its outputs.
        method: How to differentiate.
        at: The point: a common weight > 0, or one weight >= 0 an example; or a subset
            law to average over, of which only p counts: the method says how many
            subsets, `seed` which.
        coordinates: Which examples; all by default.
        seed: The experiment's seed.
        engine: Where trainings run; in this process by default.
        progress: Called with the number of models that were just finished.

    Returns:
        Scores with standard errors over units (exact zeros, one unit, where training
        is deterministic and the point is fixed).

    Raises:
        TypeError: If the method is none, or coordinates are no whole numbers.
        ValueError: If a coordinate, the point or the step is out of range, or a
            training diverged.
    """
    check_strategy(method, DerivativeMethod, "method", "Pathwise()")
    point, chosen = resolved(problem, at, coordinates, seed)
    return method.derive(
        problem,
        at=point,
        coordinates=chosen,
        seed=seed,
        engine=engine,
        progress=progress,
    )

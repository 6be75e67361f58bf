"""Leave-one-out retraining: the finite change that the derivative is a limit of."""

from collections.abc import Sequence

from dmtheory.attribution import Attribution
from dmtheory.derivatives.units import check_none_diverged, from_units
from dmtheory.designs.leave_out import LeaveOneOut
from dmtheory.engines.base import Engine
from dmtheory.estimand import Point
from dmtheory.problems.base import Problem
from dmtheory.responses.collect import Progress, collect


def leave_one_out(
    problem: Problem,
    *,
    coordinates: Sequence[int] | None = None,
    n_seeds: int = 20,
    seed: int = 0,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Attribution:
    """Retrain without each example: F(1) - F(1 - e_i), both sides sharing the seed.

    Args:
        problem: The training map and its outputs.
        coordinates: Which examples; all by default.
        n_seeds: Training seeds; one where training is deterministic.
        seed: The experiment's seed.
        engine: Where trainings run; in this process by default.
        progress: Called with the number of models that were just finished.

    Returns:
        Scores with standard errors over seeds. Positive: the example helps.

    Raises:
        ValueError: If a coordinate is out of range or a training diverged.
    """
    description = problem.description
    chosen = tuple(range(description.n_train) if coordinates is None else coordinates)
    n_seeds = 1 if description.deterministic else n_seeds
    design = LeaveOneOut(coordinates=chosen, n_seeds=n_seeds, seed=seed)
    responses = collect(problem, design, engine=engine, progress=progress)
    check_none_diverged(responses.diverged)
    outputs = responses.outputs.unflatten(0, (n_seeds, len(chosen) + 1))
    return from_units(
        outputs[:, :1] - outputs[:, 1:],
        description,
        chosen,
        quantity="leave-one-out",
        point=Point("weights", 1.0),
        n_models=responses.n_models,
        seed=None if description.deterministic else seed,
        method=f"retraining without each example, {n_seeds} seed(s)",
    )

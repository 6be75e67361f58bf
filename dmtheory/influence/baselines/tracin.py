"""TracIn: gradient products along a training."""

from typing import Literal

import torch
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import check_choice
from dmtheory.influence.at_models.gradients import target_gradients
from dmtheory.influence.at_models.trained_models import (
    Models,
    check_fixed_steps,
    check_parameters,
)
from dmtheory.influence.baselines.gradient_product import forces
from dmtheory.influence.baselines.training_path import TrainingPath
from dmtheory.problems.base import DifferentiableProblem
from dmtheory.responses.collect import Progress

OutputsAt = Literal["checkpoints", "final"]


def tracin(
    problem: DifferentiableProblem,
    path: TrainingPath,
    *,
    outputs_at: OutputsAt = "checkpoints",
    progress: Progress | None = None,
) -> Attribution:
    r"""Score examples by -sum_c rate_c (1/W) grad f(theta_c)' grad l_i(theta_c).

    Positive: more weight raises the output (of the authors' loss of a target it is the
    opposite). Per weight, under `sum` with the divisor's motion. Every step moves the
    parameters by rate times d(grad J)/dw_i; what later steps make of that is left out.
    So after a single full-batch step without momentum -(rate/W) grad f(theta_1)'
    grad l_i(theta_0) is dF/dw_i itself: with `outputs_at="final"` exactly, else to
    first order in the rate.

    Args:
        problem: The network of the path, or any differentiable problem whose
            checkpoints it holds.
        path: Checkpoints with their step sizes, see `training_path`.
        outputs_at: Where the output's gradient is taken.
        progress: Called with 1 after each checkpoint of each model.

    Returns:
        Scores with standard errors over models.

    Raises:
        ValueError: If the path does not fit the problem.

    References:
        Pruthi, Liu, Kale, Sundararajan 2020, Estimating training data influence by
        tracing gradient descent, section 3.3 (TracInCP).
    """
    check_choice(outputs_at, ("checkpoints", "final"), "outputs_at")
    description = problem.description
    check_fixed_steps(description, "TracIn")
    if len(path.weights) != description.n_train:
        raise ValueError(
            f"path must have one weight an example ({description.n_train}), got "
            f"{len(path.weights)}"
        )
    check_parameters(problem, path.final, "path")

    def contribution(params: Tensor, final: Tensor, rate: Tensor) -> Tensor:
        toward = target_gradients(problem, final if outputs_at == "final" else params)
        if progress is not None:
            progress(1)
        return -rate * forces(problem, params, path.weights) @ toward.T

    units = torch.stack([
        torch.stack([
            contribution(params, final, rate)
            for params, rate in zip(checkpoints, path.rates, strict=True)
        ]).sum(0)
        for checkpoints, final in zip(path.params, path.final, strict=True)
    ])
    models = Models(
        params=path.final,
        weights=path.weights.repeat(len(path.final), 1),
        point=path.point,
        n_trained=path.n_trained,
        seed=path.seed,
        exact=False,
    )
    return models.attribution(
        units,
        description,
        quantity="TracIn",
        method=f"{len(path.rates)} checkpoint(s), outputs at {outputs_at}",
    )

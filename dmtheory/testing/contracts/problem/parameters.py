"""The fitted parameters: what they put out, and what they minimise."""

import torch
from torch import Tensor
from torch.func import grad

from dmtheory.problems.base import DifferentiableProblem
from dmtheory.testing.comparing import check_same
from dmtheory.testing.contracts.problem.probes import (
    Probe,
    check_outputs,
    outputs_of,
    probes,
    trainings_of,
)
from dmtheory.testing.properties import Declared, NotApplicable, Property
from dmtheory.weighting import normaliser

_ANY = probes()


def _measures_what_it_fits(declared: Declared, probe: Probe) -> None:
    problem = _differentiable(declared)
    weights, seeds = trainings_of(problem, probe)
    params = problem.fit(weights, seeds).params
    outputs = torch.stack([problem.target_outputs(row) for row in params]).detach()
    check_outputs(
        declared, outputs, outputs_of(problem, weights, seeds), "target outputs"
    )


def _minimises_what_it_says(declared: Declared, probe: Probe) -> None:
    """The gradient of (1/W) sum_j w_j l_j + R at a convex problem's parameters."""
    problem = _differentiable(declared)
    if not problem.description.deterministic:
        raise NotApplicable("a random training promises no minimum")
    weights, seeds = trainings_of(problem, probe)
    params = problem.fit(weights, seeds).params.detach()
    shares = weights * normaliser(weights, problem.description.normalisation)[:, None]
    for theta, share in zip(params, shares, strict=True):

        def objective(at: Tensor, share: Tensor = share) -> Tensor:
            losses = problem.prediction_losses(problem.predictions(at))
            return share @ losses + problem.penalty(at)

        slope = grad(objective)(theta)
        check_same(
            slope,
            torch.zeros_like(slope),
            "gradient of J at the fit",
            tolerance=1e-6,
            size=1.0,
        )


def _differentiable(declared: Declared) -> DifferentiableProblem:
    if not isinstance(declared.estimator, DifferentiableProblem):
        raise NotApplicable("the problem has no parameters")
    return declared.estimator


PARAMETERS = (
    Property(
        name="fit and respond",
        statement="f at the fitted parameters is what respond returns.",
        cases=_ANY,
        check=_measures_what_it_fits,
    ),
    Property(
        name="stationarity",
        statement="A deterministic fit has gradient 0 of (1/W) sum_j w_j l_j + R.",
        cases=_ANY,
        check=_minimises_what_it_says,
    ),
)

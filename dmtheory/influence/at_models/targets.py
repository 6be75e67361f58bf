"""Outputs a target at a time: each gradient then costs one backward pass of its own."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, vjp, vmap

from dmtheory.problems.base import DifferentiableProblem


@runtime_checkable
class Targetwise(DifferentiableProblem, Protocol):
    """A differentiable problem that also measures some of its targets alone."""

    def targets(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the targets' features and classes or responses."""
        ...

    def outputs_at(
        self, params: Float[Tensor, " params"], x: Tensor, y: Tensor
    ) -> Float[Tensor, " rows"]:
        """Return f at such features, each row's from its own."""
        ...


def target_gradients(
    problem: DifferentiableProblem,
    params: Float[Tensor, " params"],
    targets: slice = slice(None),
) -> Float[Tensor, "targets params"]:
    """Return grad f of some targets, all by default.

    Where the problem measures all at once each costs a backward pass over all.
    """
    if not isinstance(problem, Targetwise):
        pull = vjp(problem.target_outputs, params)[1]
        unit = torch.eye(problem.description.n_targets).to(params)[targets]
        return vmap(lambda row: pull(row)[0])(unit)
    x, y = problem.targets(params.device)

    def own(theta: Tensor, features: Tensor, label: Tensor) -> Tensor:
        return problem.outputs_at(theta, features[None], label[None])[0]

    return vmap(grad(own), (None, 0, 0))(params, x[targets], y[targets])

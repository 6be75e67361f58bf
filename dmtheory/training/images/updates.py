"""How gradients become steps, in place, for the tensors of one model."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_at_least

Tensors = list[Tensor]

# Newton-Schulz: the quintic whose slope at zero is steep, so few steps do.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_TINY = 1e-7


@runtime_checkable
class Update(Protocol):
    """A rule for a step; it remembers one velocity a parameter."""

    def __call__(
        self, values: Tensors, slopes: Tensors, velocities: Tensors, rate: Tensor
    ) -> None:
        """Take a step in place.

        Args:
            values: Parameters.
            slopes: Gradients; may be overwritten.
            velocities: The rule's memory.
            rate: Step size, a scalar on the device.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Momentum:
    """v <- momentum v + g; theta <- theta - rate v, or rate (g + momentum v).

    Attributes:
        momentum: In [0, 1).
        nesterov: Whether the step looks ahead.
    """

    momentum: float
    nesterov: bool = False

    def __post_init__(self) -> None:
        _check_momentum(self.momentum)

    def __call__(
        self, values: Tensors, slopes: Tensors, velocities: Tensors, rate: Tensor
    ) -> None:
        """Take a step in place."""
        torch._foreach_mul_(velocities, self.momentum)
        torch._foreach_add_(velocities, slopes)
        ahead = velocities
        if self.nesterov:
            torch._foreach_add_(slopes, velocities, alpha=self.momentum)
            ahead = slopes
        torch._foreach_sub_(values, torch._foreach_mul(ahead, rate))


@dataclass(frozen=True, slots=True, kw_only=True)
class Muon:
    """Nesterov momentum whose step is made nearly orthogonal; filters keep their norm.

    The filters W [outputs, inputs x places] are scaled to |W|_F = sqrt(outputs) before
    each step, and the step's singular values are brought near one by an odd polynomial,
    a few times over.

    Attributes:
        momentum: In [0, 1).
        rounds: Applications of the polynomial.

    References:
        Jordan 2024, Muon: an optimizer for hidden layers in neural networks.
        KellerJordan/cifar10-airbench, airbench94_muon.py: three rounds, the norm.
    """

    momentum: float
    rounds: int = 3

    def __post_init__(self) -> None:
        _check_momentum(self.momentum)
        check_at_least(self.rounds, 1, "rounds")

    def __call__(
        self, values: Tensors, slopes: Tensors, velocities: Tensors, rate: Tensor
    ) -> None:
        """Take a step in place."""
        torch._foreach_mul_(velocities, self.momentum)
        torch._foreach_add_(velocities, slopes)
        torch._foreach_add_(slopes, velocities, alpha=self.momentum)
        for value, slope in zip(values, slopes, strict=True):
            norm = torch.linalg.vector_norm(value).clamp_min(_TINY)
            value.mul_(len(value) ** 0.5 / norm)
            step = orthogonal(slope.reshape(len(slope), -1), self.rounds)
            value.sub_(rate * step.reshape(slope.shape))


def orthogonal(
    matrix: Float[Tensor, "rows columns"], rounds: int
) -> Float[Tensor, "rows columns"]:
    """Return U f(S) V' of a matrix U S V', f near 1 on (0, 1]; 0 of 0.

    X <- a X + b (X X') X + c (X X')^2 X, begun at the matrix over its norm. In single
    precision the products are taken in half where autocast says so.
    """
    a, b, c = _QUINTIC
    x = matrix / (torch.linalg.vector_norm(matrix) + _TINY)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(rounds):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)


def _check_momentum(momentum: float) -> None:
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must lie in [0, 1), got {momentum}")

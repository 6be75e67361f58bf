"""LiSSA: Neumann's series of the inverse, with all examples or random batches."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from dmtheory.checks import check_at_least, check_positive
from dmtheory.influence.curvature.base import CurvatureOperator
from dmtheory.influence.solvers.base import Damped, Prepared, Solution, measured

_POWER_STEPS = 30
# The power iteration comes from below, within this factor after so many steps.
_MARGIN = 1.1
# Curvature beside the scale that products round to.
_ROUNDING = 1e-10


@runtime_checkable
class InBatches(Protocol):
    """An operator with unbiased estimates from random batches of examples."""

    def batches(self, size: int, generator: torch.Generator) -> list[CurvatureOperator]:
        """Return one operator a batch; their mean is the operator."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lissa:
    """x <- x + (b - A x) / scale, `depth` times; the mean over `repeats`.

    Approximate, with its residual. The error of a direction with curvature c falls by
    1 - c/scale a step: flat directions are the last to converge.

    Attributes:
        depth: Steps.
        scale: At least half the largest eigenvalue of A, more with batches; by default
            1.1 times its estimate.
        batch: Examples a step, one of the batches of a random partition; all by
            default.
        repeats: Runs whose mean is taken; more than one only helps with batches.
        seed: Seed of the batches.

    References:
        Agarwal, Bullins and Hazan 2017, Second-order stochastic optimization in linear
        time. Koh and Liang 2017, section 3.
    """

    depth: int = 1000
    scale: float | None = None
    batch: int | None = None
    repeats: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.depth, 1, "depth")
        check_at_least(self.repeats, 1, "repeats")
        if self.scale is not None:
            check_positive(self.scale, "scale")
        if self.batch is not None:
            check_at_least(self.batch, 1, "batch")

    @property
    def name(self) -> str:
        """The name in results."""
        return f"LiSSA of depth {self.depth}"

    def prepare(self, system: Damped) -> Prepared:
        """Estimate the scale and draw the batches.

        Returns:
            A function of B.

        Raises:
            TypeError: If batches are asked for and the problem has no row access.
        """
        generator = torch.Generator().manual_seed(self.seed)
        scale = self.scale or _MARGIN * _largest(system, generator)
        parts = self._parts(system, generator)

        def solve(sides: Tensor) -> Solution:
            total = torch.zeros_like(sides)
            for _ in range(self.repeats):
                total += self._run(parts, sides, scale, generator)
            mean = total / self.repeats
            found = measured(system.product, sides, mean, self.depth * self.repeats)
            # Written so that NaN fails too.
            if not found.worst <= 1:
                raise ValueError(
                    f"scale must make LiSSA converge, but at {scale:g} the residual is "
                    f"{found.worst:.1e}, above that of zero: raise scale (above half "
                    "the largest eigenvalue; more with small batches), or raise "
                    "damping, since negative curvature diverges at any scale"
                )
            _check_positive(system, sides - system.product(mean), scale)
            return found

        return solve

    def _run(
        self,
        parts: list[Damped],
        sides: Tensor,
        scale: float,
        generator: torch.Generator,
    ) -> Tensor:
        # With replacement: reshuffled batches would bias the mean.
        drawn = torch.randint(len(parts), (self.depth,), generator=generator)
        found = sides / scale
        for number in drawn.tolist():
            found = found + (sides - parts[number].product(found)) / scale
        return found

    def _parts(self, system: Damped, generator: torch.Generator) -> list[Damped]:
        if self.batch is None:
            return [system]
        operator = system.operator
        if not isinstance(operator, InBatches):
            raise TypeError(
                f"curvature must be a sum over examples for batches, got the "
                f"{operator.name}: leave batch out"
            )
        batches = operator.batches(self.batch, generator)
        return [Damped(operator=part, damping=system.damping) for part in batches]


def _check_positive(system: Damped, left: Tensor, scale: float) -> None:
    """Raise ValueError if what is left shows negative curvature.

    Such directions shrink least, or grow: they are what is left in the end.
    """
    sizes = left.square().sum(0)
    bent = (left * system.product(left)).sum(0)
    if bool((bent < -_ROUNDING * scale * sizes).any()):
        least = (bent / sizes.clamp_min(torch.finfo(sizes.dtype).tiny)).min().item()
        raise system.negative(f"a direction has curvature {least:.2e} with it")


def _largest(system: Damped, generator: torch.Generator) -> float:
    """Return an estimate, from below, of the largest eigenvalue of A in size."""
    like = system.operator.params
    vector = torch.randn(len(like), 1, generator=generator, dtype=like.dtype)
    vector, size = (vector / vector.norm()).to(like.device), 0.0
    for _ in range(_POWER_STEPS):
        image = system.product(vector)
        size = image.norm().item()
        if size == 0:
            return 1.0
        vector = image / size
    return size

"""A ladder of difference steps: bias and noise told apart, and the step they name."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.checks import check_at_least, check_positive


@dataclass(frozen=True, slots=True)
class Ladder:
    """Several steps, all taken with the same seeds; the best of them is used.

    Attributes:
        steps: At least two distinct steps h, in weight, in any order.
    """

    steps: tuple[float, ...]

    def __post_init__(self) -> None:
        check_at_least(len(self.steps), 2, "number of steps")
        for step in self.steps:
            check_positive(step, "steps")
        if len(set(self.steps)) != len(self.steps):
            raise ValueError(f"steps must be distinct, got {self.steps}")


@dataclass(frozen=True, slots=True)
class Rung:
    """One step's error, root mean squares over rows and targets.

    Attributes:
        step: h.
        bias: |c| h^order by the coefficient that all rungs together give.
        noise: Standard error of the derivative over units.
    """

    step: float
    bias: float
    noise: float

    @property
    def total(self) -> float:
        """sqrt(bias^2 + noise^2)."""
        return float((self.bias**2 + self.noise**2) ** 0.5)


@dataclass(frozen=True, slots=True)
class StepChoice:
    """Which step was taken, and why.

    Attributes:
        rungs: Every step, the largest first.
        chosen: The number of the rung with the least total error.
    """

    rungs: tuple[Rung, ...]
    chosen: int

    @property
    def step(self) -> float:
        """The step that was taken."""
        return self.rungs[self.chosen].step

    def __str__(self) -> str:
        rung = self.rungs[self.chosen]
        steps = ", ".join(f"{other.step:g}" for other in self.rungs)
        return (
            f"step {rung.step:g} of {steps} (bias {rung.bias:.2g}, noise "
            f"{rung.noise:.2g})"
        )


def chosen_step(
    quotients: dict[float, Float[Tensor, "units rows targets"]],
    orders: Float[Tensor, " rows"],
    rounding: Float[Tensor, " targets"],
) -> StepChoice:
    r"""Tell bias from noise over the rungs and take the step with the least of both.

    D_s(h) = g_s + c_s h^q + e_s(h)/h for seed s, q the rule's order. Noise is the
    standard error over seeds of the mean of D_s. Bias is E c h^q: each seed's c_s is a
    contrast of its rungs, so what the rungs of a seed share, g_s, is not in it, and the
    contrast's own variance over seeds is taken off its mean square. The contrast is
    least squares with weights h^2, which is best for noise e/h: it rests on the large
    steps, where differences are mostly bias.

    Args:
        quotients: Difference quotients by step, units in the same order.
        orders: q, a row.
        rounding: Size of rounding in F: the noise e where there is but one unit.

    Returns:
        Every rung's error, and the choice.
    """
    steps = sorted(quotients, reverse=True)
    h = torch.tensor(steps, dtype=torch.float64)
    stacked = torch.stack([quotients[step] for step in steps])  # [rungs, units, ...]
    contrast = _bias_contrast(h, orders)  # [rungs, rows]
    coefficient = torch.einsum("kr,kurt->urt", contrast, stacked)
    floor = (contrast.square() / h[:, None].square()).sum(0)[:, None] * rounding**2
    square = coefficient.mean(0).square() - _mean_variance(coefficient) - floor
    floors = rounding**2 / h[:, None].square()  # [rungs, targets]
    rungs = []
    for k, step in enumerate(steps):
        # The mean may be negative where there is no bias to be seen.
        bias = (square * step ** (2 * orders)[:, None]).mean().clamp_min(0.0).sqrt()
        noise = (_mean_variance(stacked[k]) + floors[k]).mean().sqrt()
        rungs.append(Rung(step, bias.item(), noise.item()))
    totals = [rung.total for rung in rungs]
    return StepChoice(tuple(rungs), totals.index(min(totals)))


def _bias_contrast(
    h: Float[Tensor, " rungs"], orders: Float[Tensor, " rows"]
) -> Float[Tensor, "rungs rows"]:
    """Return what gives c from D(h) = g + c h^q by least squares with weights h^2."""
    weight = (h.square() / h.square().sum())[:, None]
    power = h[:, None] ** orders
    centred = power - (weight * power).sum(0)
    return weight * centred / (weight * centred.square()).sum(0)


def _mean_variance(
    units: Float[Tensor, "units rows targets"],
) -> Float[Tensor, "rows targets"]:
    """Return the variance of the mean over units; 0 of a single one."""
    if len(units) == 1:
        return torch.zeros_like(units[0])
    return units.var(0) / len(units)

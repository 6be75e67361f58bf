"""What every estimator of a linear datamodel returns."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmtheory.datamodels.rows.moments import Columns

_ROUNDING = 1e-12
# A linear part of the outputs that is a smaller share of them is none but for rounding.
_LEAST_PART = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Certificate:
    """How far each target's solution can be from the optimum, checked on the solution.

    Attributes:
        kind: "duality gap", relative to the objective at 0 (half the outputs' mean
            square), or "residual" of the normal equations, relative to their right
            side (see `relative_residual`).
        value: One a target.
        tolerance: What counts as converged.
    """

    kind: str
    value: Float[Tensor, " targets"]
    tolerance: float

    @property
    def converged(self) -> Bool[Tensor, " targets"]:
        """Which targets are solved to the tolerance; never one that is not finite."""
        return self.value <= self.tolerance

    def check(self) -> None:
        """Raise ValueError unless every target is solved to the tolerance."""
        bad = (~self.converged).nonzero().flatten()
        if len(bad):
            raise ValueError(
                f"fit must reach a {self.kind} of {self.tolerance:g}, but "
                f"{len(bad)} target(s) did not (the first, {bad[0].item()}, reached "
                f"{self.value[bad[0]].item():.2g}): use larger penalties, more models "
                "or a larger tolerance"
            )

    def __str__(self) -> str:
        return f"{self.kind} at most {self.value.max().item():.1g}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearFit:
    """Coefficients of a linear datamodel with their sampling law.

    Attributes:
        coefficients: beta, in units of the raw mask.
        intercept: beta_0.
        stderr: Standard errors of the coefficients; None where there are none.
        units: Contributions of independent blocks of models, whose mean is the
            coefficients; None where they would not fit in memory, or the estimator
            has none.
        degrees_of_freedom: Residual degrees of freedom, for t intervals; None where
            intervals are normal or there are none.
        effective_parameters: Effective degrees of freedom that the fit uses, with the
            intercept where there is one.
        penalty: Penalty of each target; None where nothing is penalised.
        certificate: Evidence that the solution is one; None where it is a formula.
    """

    coefficients: Float[Tensor, "train targets"]
    intercept: Float[Tensor, " targets"]
    stderr: Float[Tensor, "train targets"] | None
    units: Float[Tensor, "units train targets"] | None
    degrees_of_freedom: int | None
    effective_parameters: Float[Tensor, " targets"]
    penalty: Float[Tensor, " targets"] | None = None
    certificate: Certificate | None = None


def relative_residual(
    rest: Float[Tensor, "train targets"],
    size: Float[Tensor, " targets"],
    columns: Columns,
    squares: Float[Tensor, " targets"],
    shift: Float[Tensor, " targets"],
) -> Float[Tensor, " targets"]:
    """Return what is left of the normal equations, relative to their right side.

    Outputs may vary and yet have no linear part: then X'Y is but rounding, of the size
    of eps |x||e|, and what is left of it is measured by a millionth of |x||e| instead.

    Args:
        rest: X'Y less what the coefficients make of it.
        size: Largest entry of X'Y, a target.
        columns: Of the rows that were summed.
        squares: |e|^2, the sum of squares of each target's residuals.
        shift: Level of the outputs, whose rounding is all there is of X'Y where they
            do not vary.

    Returns:
        The largest entry of rest over the size.

    References:
        Fong and Saunders 2011, LSMR: |A'r| is small or not beside |A||r|.
    """
    longest = columns.centred_squares.max().sqrt()
    least = _LEAST_PART * longest * squares.sqrt()
    rounding = _ROUNDING * columns.n_rows * shift.abs() + 1e-300
    return rest.abs().amax(0) / torch.maximum(size, torch.maximum(least, rounding))

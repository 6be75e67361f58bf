"""Many targets a block at a time, where all at once would not fit in memory."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.datamodels.estimators.estimator import DatamodelEstimator
from dmtheory.datamodels.estimators.linear_fit import Certificate, LinearFit
from dmtheory.datamodels.rows.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetBlocks:
    """Another estimator, fitted to a block of targets after the other.

    Each block passes over the rows anew: memory is bought with time. Targets do not
    know of one another in any estimator, so the fit is that of all at once; but units
    may be kept that would not fit together.

    Attributes:
        estimator: What is fitted.
        size: Targets a block.
    """

    estimator: DatamodelEstimator
    size: int

    def __post_init__(self) -> None:
        check_at_least(self.size, 1, "size")

    def fit(self, sample: Sample) -> LinearFit:
        """Fit block by block.

        Returns:
            One fit of all targets.
        """
        starts = range(0, len(sample.shift), self.size)
        fits = [
            self.estimator.fit(sample.targets(slice(start, start + self.size)))
            for start in starts
        ]
        freedom = [f.degrees_of_freedom for f in fits if f.degrees_of_freedom]
        return LinearFit(
            coefficients=torch.cat([f.coefficients for f in fits], dim=1),
            intercept=torch.cat([f.intercept for f in fits]),
            stderr=_joined(fits, lambda f: f.stderr),
            units=_joined(fits, lambda f: f.units),
            degrees_of_freedom=min(freedom) if freedom else None,
            effective_parameters=torch.cat([f.effective_parameters for f in fits]),
            penalty=_joined(fits, lambda f: f.penalty),
            certificate=_certificate(fits),
        )


def _joined(
    fits: list[LinearFit], field: Callable[[LinearFit], Tensor | None]
) -> Tensor | None:
    parts = [part for part in map(field, fits) if part is not None]
    # Blocks of unlike sizes may keep unlike numbers of units.
    if len(parts) < len(fits) or len({part.shape[:-1] for part in parts}) > 1:
        return None
    return torch.cat(parts, dim=-1)


def _certificate(fits: list[LinearFit]) -> Certificate | None:
    found = [f.certificate for f in fits if f.certificate is not None]
    if not found:
        return None
    return Certificate(
        kind=found[0].kind,
        value=torch.cat([c.value for c in found]),
        tolerance=found[0].tolerance,
    )

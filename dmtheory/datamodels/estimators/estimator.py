"""What every estimator of a datamodel is: a rule from a sample to coefficients."""

from typing import Protocol, runtime_checkable

from dmtheory.datamodels.estimators.linear_fit import LinearFit
from dmtheory.datamodels.rows.sample import Sample


@runtime_checkable
class DatamodelEstimator(Protocol):
    """A rule that regresses outputs on weights."""

    def fit(self, sample: Sample) -> LinearFit:
        """Return coefficients with their sampling law."""
        ...

"""Which weight vectors are trained, with which seeds."""

from dmtheory.designs.base import Design
from dmtheory.designs.bernoulli import Bernoulli, ComplementaryPairs
from dmtheory.designs.perturbations import (
    CoordinatePairs,
    LeaveOneOut,
    SubsetPairs,
    random_coordinates,
)

__all__ = [
    "Bernoulli",
    "ComplementaryPairs",
    "CoordinatePairs",
    "Design",
    "LeaveOneOut",
    "SubsetPairs",
    "random_coordinates",
]

"""Real data sets, split and labelled."""

from dmtheory.data.dataset import Dataset, Split
from dmtheory.data.digits import digits
from dmtheory.data.images import cifar10, synthetic_images
from dmtheory.data.tables import breast_cancer, diabetes

__all__ = [
    "Dataset",
    "Split",
    "breast_cancer",
    "cifar10",
    "diabetes",
    "digits",
    "synthetic_images",
]

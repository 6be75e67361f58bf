"""Randomised training maps and the outputs that are measured."""

from dmtheory.problems.base import (
    BlackBox,
    Description,
    DifferentiableProblem,
    Fit,
    Problem,
)
from dmtheory.problems.linear import LeastSquares
from dmtheory.problems.logistic import LogisticRegression
from dmtheory.problems.network import Network
from dmtheory.problems.quality import Quality
from dmtheory.problems.set_functions import (
    SampleMean,
    SetFunction,
    and_of_examples,
    or_of_duplicates,
)
from dmtheory.problems.softmax import SoftmaxRegression
from dmtheory.training.modules import MLP
from dmtheory.training.procedures import SGD, Adam

__all__ = [
    "MLP",
    "SGD",
    "Adam",
    "BlackBox",
    "Description",
    "DifferentiableProblem",
    "Fit",
    "LeastSquares",
    "LogisticRegression",
    "Network",
    "Problem",
    "Quality",
    "SampleMean",
    "SetFunction",
    "SoftmaxRegression",
    "and_of_examples",
    "or_of_duplicates",
]

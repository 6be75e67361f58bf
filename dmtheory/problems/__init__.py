"""Randomised training maps and the outputs that are measured."""

from dmtheory.problems.base import (
    BlackBox,
    Description,
    DifferentiableProblem,
    Fit,
    Problem,
)
from dmtheory.problems.cifar import Cifar
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
from dmtheory.training.images import FIDELITY, SMOOTH, THROUGHPUT, Recipe
from dmtheory.training.modules import MLP
from dmtheory.training.procedures import SGD, Adam

__all__ = [
    "FIDELITY",
    "MLP",
    "SGD",
    "SMOOTH",
    "THROUGHPUT",
    "Adam",
    "BlackBox",
    "Cifar",
    "Description",
    "DifferentiableProblem",
    "Fit",
    "LeastSquares",
    "LogisticRegression",
    "Network",
    "Problem",
    "Quality",
    "Recipe",
    "SampleMean",
    "SetFunction",
    "SoftmaxRegression",
    "and_of_examples",
    "or_of_duplicates",
]

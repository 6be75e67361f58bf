"""Image classifiers at full scale as a problem."""

from dmtheory.problems.cifar.problem import Cifar

__all__ = ["Cifar"]

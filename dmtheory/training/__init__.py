"""How networks are trained: procedure, order, randomness, and who trains together."""

from dmtheory.training.augmentation import Augmentation, GaussianNoise, RandomFlip
from dmtheory.training.execution import Compiled, Execution, OneByOne, Vmapped
from dmtheory.training.losses import CrossEntropy, Loss, SquaredError
from dmtheory.training.modules import MLP
from dmtheory.training.procedures import SGD, Adam, Procedure

__all__ = [
    "MLP",
    "SGD",
    "Adam",
    "Augmentation",
    "Compiled",
    "CrossEntropy",
    "Execution",
    "GaussianNoise",
    "Loss",
    "OneByOne",
    "Procedure",
    "RandomFlip",
    "SquaredError",
    "Vmapped",
]

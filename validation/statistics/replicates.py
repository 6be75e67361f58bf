"""The mean of independent replicates with its interval."""

from math import sqrt

from jaxtyping import Float
from scipy.special import stdtrit
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval


def mean_of(values: Float[Tensor, " replicates"]) -> Interval:
    """Return the mean with Student's 95 % interval."""
    n = len(values)
    half = float(stdtrit(n - 1, 0.975)) * values.std().item() / sqrt(n)
    mean = values.mean().item()
    return Interval(mean, mean - half, mean + half)

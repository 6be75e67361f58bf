"""The weights of the trapezoid rule over an example's own weight."""

from jaxtyping import Float
from torch import Tensor


def trapezoid_ends(
    masks: Float[Tensor, "*models players"], p: float
) -> Float[Tensor, "*models players"]:
    r"""Return a_mi = (1/2) ([i in S_m]/p + [i not in S_m]/(1 - p)).

    With S ~ Bernoulli(p) the mean of a_i g_i(1_S) is
    (1/2) E[g_i(1_S) | i in S] + (1/2) E[g_i(1_S) | i not in S]: both ends of the
    player's own weight count half. At p = 1/2 all are 1, and it is the plain average.

    Args:
        masks: Subsets, 1 where a player is in and 0 where it is not.
        p: The probability that it is in, in (0, 1).

    Returns:
        The factor of each model's derivative by each player.
    """
    return 0.5 * (masks / p + (1 - masks) / (1 - p))

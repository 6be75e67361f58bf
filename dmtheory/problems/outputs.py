"""Output functions f: what is measured at a target, as a function of predictions."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def margin(
    logits: Float[Tensor, "*models targets classes"], classes: Int64[Tensor, " targets"]
) -> Float[Tensor, "*models targets"]:
    r"""Return the margin of each target's own class.

    f = z_c - logsumexp_{k != c} z_k = log(p_c / (1 - p_c)), unbounded and smooth.

    Args:
        logits: One vector of logits a target.
        classes: The correct class of each target.

    Returns:
        Margins; positive where the correct class has probability above 1/2.

    References:
        Park et al. 2023, TRAK, section 3: the same output function.
    """
    index = classes.expand(logits.shape[:-1]).unsqueeze(-1)
    own = logits.gather(-1, index).squeeze(-1)
    others = logits.scatter(-1, index, -torch.inf)
    return own - torch.logsumexp(others, dim=-1)

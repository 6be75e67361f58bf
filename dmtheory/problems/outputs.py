"""Output functions f: what is measured at a target, as a function of predictions.

All are smooth but for `max_margin`, whose derivative jumps where the runner-up changes.
Accuracy is none of them: its derivative is zero almost everywhere.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Output = Callable[[Tensor, Tensor], Tensor]


def margin(
    logits: Float[Tensor, "*models targets classes"], classes: Tensor
) -> Float[Tensor, "*models targets"]:
    r"""Return the margin of each target's own class.

    f = z_c - logsumexp_{k != c} z_k = log(p_c / (1 - p_c)), unbounded and smooth.

    Args:
        logits: One vector of logits a target.
        classes: The correct class of each target, [targets].

    Returns:
        Margins; positive where the correct class has probability above 1/2.

    References:
        Park et al. 2023, TRAK, section 3: the same output function.
    """
    return correct_logit(logits, classes) - torch.logsumexp(
        _others(logits, classes), dim=-1
    )


def max_margin(
    logits: Float[Tensor, "*models targets classes"], classes: Tensor
) -> Float[Tensor, "*models targets"]:
    """Return z_c - max_{k != c} z_k; positive where the prediction is right.

    References:
        Ilyas et al. 2022, Datamodels, section 2: their output function.
    """
    return correct_logit(logits, classes) - _others(logits, classes).amax(-1)


def correct_logit(
    logits: Float[Tensor, "*models targets classes"], classes: Tensor
) -> Float[Tensor, "*models targets"]:
    """Return z_c, the logit of the target's own class."""
    index = classes.long().expand(logits.shape[:-1]).unsqueeze(-1)
    return logits.gather(-1, index).squeeze(-1)


def log_likelihood(
    logits: Float[Tensor, "*models targets classes"], classes: Tensor
) -> Float[Tensor, "*models targets"]:
    """Return log p_c, minus the cross-entropy; raising it is good."""
    return correct_logit(logits, classes) - torch.logsumexp(logits, dim=-1)


def loss(
    logits: Float[Tensor, "*models targets classes"], classes: Tensor
) -> Float[Tensor, "*models targets"]:
    """Return the cross-entropy -log p_c; a positive score raises the loss."""
    return -log_likelihood(logits, classes)


def probability(
    logits: Float[Tensor, "*models targets classes"], classes: Tensor
) -> Float[Tensor, "*models targets"]:
    """Return p_c, the probability of the target's own class."""
    return log_likelihood(logits, classes).exp()


def prediction(
    predictions: Float[Tensor, "*models targets 1"], responses: Tensor
) -> Float[Tensor, "*models targets"]:
    """Return the predicted response of a regression."""
    return predictions.squeeze(-1)


def squared_error(
    predictions: Float[Tensor, "*models targets 1"], responses: Tensor
) -> Float[Tensor, "*models targets"]:
    """Return half the squared error of the predicted response."""
    return 0.5 * (predictions.squeeze(-1) - responses).square()


OF_CLASSES: dict[str, Output] = {
    "margin": margin,
    "max-margin": max_margin,
    "logit": correct_logit,
    "log-likelihood": log_likelihood,
    "loss": loss,
    "probability": probability,
}
OF_RESPONSES: dict[str, Output] = {
    "prediction": prediction,
    "squared-error": squared_error,
}


def _others(
    logits: Float[Tensor, "*models targets classes"], classes: Tensor
) -> Float[Tensor, "*models targets classes"]:
    index = classes.long().expand(logits.shape[:-1]).unsqueeze(-1)
    return logits.scatter(-1, index, -torch.inf)

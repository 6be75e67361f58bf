"""What a training weight does: the divisor of the objective, and the steps taken."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Normalisation = Literal["sum", "count"]
NORMALISATIONS = ("sum", "count")
StepPolicy = Literal["fixed", "proportional"]
STEP_POLICIES = ("fixed", "proportional")


def normaliser(
    weights: Float[Tensor, "models train"], normalisation: Normalisation
) -> Float[Tensor, " models"]:
    """Return 1/W a model, and 0 where W = sum_j w_j = 0: the data term is absent.

    With no weight at all the objective is the regulariser alone, so F(empty) is the
    response of the regulariser's minimiser.
    """
    if normalisation == "count":
        n_models, n_train = weights.shape
        return weights.new_full((n_models,), 1.0 / n_train)
    total = weights.sum(1)
    return torch.where(total > 0, 1.0 / total.clamp_min(1e-300), 0.0)

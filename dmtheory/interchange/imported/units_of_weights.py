"""Raw and standardised: two units of a linear model, and the way between them.

A linear model of masks may be stated per unit of the raw mask x, f ~ b + x w, or per
standard deviation of it, f ~ b + ((x - mean)/deviation) w. Files do not say which.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.interchange.imported.runs import ImportedRuns

RAW, STANDARDISED = "raw", "standardised"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardisation:
    """Mean and standard deviation of each example's mask.

    Attributes:
        mean: Share of subsets that hold the example.
        deviation: Population standard deviation of its indicator.
    """

    mean: Float[Tensor, " train"]
    deviation: Float[Tensor, " train"]


def standardisation_of(runs: ImportedRuns) -> Standardisation:
    """Return the columns' mean and standard deviation over these models, streamed."""
    total = torch.zeros(runs.n_train, dtype=torch.float64)
    for numbers in runs.number_blocks():
        total += torch.from_numpy(runs.read_masks(numbers)).sum(0)
    return _indicator(total / runs.n_models)


def standardisation_of_law(runs: ImportedRuns) -> Standardisation:
    """Return mean p and deviation sqrt(p(1-p)) by the law, without reading masks.

    Raises:
        ValueError: If the law is unknown.
    """
    if runs.tags.law is None:
        raise ValueError("law must be known to standardise by it: read the masks")
    level = torch.full((runs.n_train,), runs.tags.law.level, dtype=torch.float64)
    return _indicator(level)


def raw_units(
    weight: Float[Tensor, "train targets"],
    bias: Float[Tensor, " targets"],
    by: Standardisation,
) -> tuple[Float[Tensor, "train targets"], Float[Tensor, " targets"]]:
    r"""Map coefficients of standardised masks to the raw mask.

    w_raw = w/deviation, b_raw = b - sum_i mean_i w_i/deviation_i.

    Args:
        weight: Change of the output per standard deviation of the mask.
        bias: Prediction at the mean mask.
        by: What the masks were standardised by; a column that never varied has no
            coefficient.

    Returns:
        Coefficients and intercept in units of the raw mask.
    """
    varies = by.deviation > 0
    scale = torch.where(varies, 1.0 / torch.where(varies, by.deviation, 1.0), 0.0)
    raw = weight * scale[:, None]
    return raw, bias - by.mean @ raw


def standard_units(
    weight: Float[Tensor, "train targets"],
    bias: Float[Tensor, " targets"],
    by: Standardisation,
) -> tuple[Float[Tensor, "train targets"], Float[Tensor, " targets"]]:
    """Map coefficients of the raw mask to the standardised one.

    Args:
        weight: Change of the output per unit of the raw mask.
        bias: Prediction at the empty subset.
        by: The masks' moments.

    Returns:
        Coefficients per standard deviation, and the prediction at the mean mask.
    """
    return weight * by.deviation[:, None], bias + by.mean @ weight


def _indicator(mean: Float[Tensor, " train"]) -> Standardisation:
    return Standardisation(mean=mean, deviation=(mean * (1 - mean)).sqrt())

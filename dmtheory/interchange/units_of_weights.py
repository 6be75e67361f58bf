"""Raw or standardised? Two readings of a file's coefficients, judged on held-out rows.

A linear model of masks may be stated per unit of the raw mask x, f ~ b + x w, or per
standard deviation of it, f ~ b + ((x - mean)/deviation) w. Files do not say which.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.interchange.runs import ImportedRuns

RAW, STANDARDISED = "raw", "standardised"
# Standard errors that the readings' difference must be away from 0: a coin's file is
# decided wrongly once in 30,000 times.
_SURE = 4.0
_NORMAL_95 = 1.959964
_FEWEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardisation:
    """Mean and standard deviation of each example's mask.

    Attributes:
        mean: Share of subsets that hold the example.
        deviation: Population standard deviation of its indicator.
    """

    mean: Float[Tensor, " train"]
    deviation: Float[Tensor, " train"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsChoice:
    """Which reading of coefficients predicts held-out outputs, and by how much.

    Attributes:
        units: "raw" or "standardised".
        r_squared: Pooled held-out R^2 of either reading, by name.
        difference: Mean over rows of the raw reading's squared error less the
            standardised one's, in units of the outputs' variance, with its 95 % normal
            interval.
        n_rows: Held-out rows.
    """

    units: str
    r_squared: dict[str, float]
    difference: Interval
    n_rows: int

    def __str__(self) -> str:
        raw, standardised = self.r_squared[RAW], self.r_squared[STANDARDISED]
        return (
            f"coefficients read as {self.units}: held-out R^2 {raw:.3f} as raw, "
            f"{standardised:.3f} as standardised, on {self.n_rows} rows"
        )


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


def decide_units(
    weight: Float[Tensor, "train targets"],
    bias: Float[Tensor, " targets"],
    *,
    held_out: ImportedRuns,
    by: Standardisation,
) -> UnitsChoice:
    """Judge both readings of a file's coefficients on models it has not seen.

    Args:
        weight: The file's coefficients.
        bias: The file's intercepts.
        held_out: Models that the coefficients were not fitted to, of the same targets.
        by: What masks would have been standardised by.

    Returns:
        The reading with the smaller squared error.

    Raises:
        ValueError: If neither predicts better than the mean, so that the files cannot
            belong together, or the rows do not tell the two apart.
    """
    if held_out.n_models < _FEWEST:
        raise ValueError(
            f"held_out must hold at least {_FEWEST} models to tell units, got "
            f"{held_out.n_models}"
        )
    readings = {RAW: (weight, bias), STANDARDISED: raw_units(weight, bias, by)}
    outputs = torch.from_numpy(held_out.read_outputs(held_out.numbers))
    scale = (outputs - outputs.mean(0)).square().sum()
    errors: dict[str, list[Tensor]] = {name: [] for name in readings}
    for numbers in held_out.number_blocks():
        masks = torch.from_numpy(held_out.read_masks(numbers))
        trained = torch.from_numpy(held_out.read_outputs(numbers))
        for name, (slope, level) in readings.items():
            errors[name].append((trained - masks @ slope - level).square().sum(1))
    lost = {name: torch.cat(parts) for name, parts in errors.items()}
    r_squared = {n: 1.0 - float(e.sum() / scale) for n, e in lost.items()}
    if max(r_squared.values()) <= 0:
        raise ValueError(
            "weights must predict held-out rows, but neither reading does (R^2 "
            f"{r_squared[RAW]:.3g} as raw, {r_squared[STANDARDISED]:.3g} as "
            "standardised): check that weights, masks and outputs belong together"
        )
    gap = (lost[RAW] - lost[STANDARDISED]) * len(outputs) / scale
    mean, error = float(gap.mean()), float(gap.std()) / len(gap) ** 0.5
    if abs(mean) <= _SURE * error:
        raise ValueError(
            "held_out must tell raw from standardised coefficients, but their errors "
            f"differ by {mean:.3g} with a standard error of {error:.2g}: give more "
            "rows, or state units="
        )
    width = _NORMAL_95 * error
    return UnitsChoice(
        units=RAW if mean < 0 else STANDARDISED,
        r_squared=r_squared,
        difference=Interval(mean, mean - width, mean + width),
        n_rows=held_out.n_models,
    )


def _indicator(mean: Float[Tensor, " train"]) -> Standardisation:
    return Standardisation(mean=mean, deviation=(mean * (1 - mean)).sqrt())

"""Raw or standardised? Both readings of a file's coefficients, judged on held-out rows.

Three things speak: squared errors, the level of predictions, which an intercept fits
however strongly coefficients were shrunk, and the slope of outputs on predictions.
Where they contradict one another nothing is decided.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.interchange.imported.runs import ImportedRuns
from dmtheory.interchange.imported.units_of_weights import (
    RAW,
    STANDARDISED,
    Standardisation,
    raw_units,
)

# Standard errors that the readings' difference must be away from 0: a coin's file is
# decided wrongly once in 30,000 times.
_SURE = 4.0
_NORMAL_95 = 1.959964
_FEWEST = 10
# Predictions that are held at a time.
_ENTRIES = 2**23


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsChoice:
    """Which reading of coefficients predicts held-out outputs, and by how much.

    Attributes:
        units: "raw" or "standardised".
        r_squared: Pooled held-out R^2 of either reading, by name.
        slope: Slope of outputs on predictions within targets, of either reading. It is
            1 where the reading is right and nothing was shrunk.
        difference: Mean over masks of the raw reading's squared error less the
            standardised one's, in units of the outputs' variance, with its 95 % normal
            interval.
        n_rows: Held-out rows.
        n_masks: Their masks; consecutive rows of one mask count once.
    """

    units: str
    r_squared: dict[str, float]
    slope: dict[str, float]
    difference: Interval
    n_rows: int
    n_masks: int

    def __str__(self) -> str:
        read = " and ".join(
            f"{self.r_squared[name]:.3f} (slope {self.slope[name]:.2f}) as {name}"
            for name in (RAW, STANDARDISED)
        )
        return (
            f"coefficients read as {self.units}: held-out R^2 {read}, on "
            f"{self.n_rows} rows"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """How one reading predicts, summed over targets.

    Attributes:
        error: Squared error of each mask, its rows' mean.
        spread: The same of the targets' means in place of predictions.
        products: Products of outputs and predictions, less their means.
        squares: Squares of predictions less their means.
        off: Squared mean residuals.
        sampling: Their sampling variances.
    """

    error: Float[Tensor, " masks"]
    spread: Float[Tensor, " masks"]
    products: Tensor
    squares: Tensor
    off: Tensor
    sampling: Tensor

    def plus(self, other: "_Sums") -> "_Sums":
        """Return the sums over the targets of both."""
        return _Sums(**{
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(_Sums)
        })

    @property
    def r_squared(self) -> float:
        """Pooled R^2."""
        return 1.0 - float(self.error.mean() / self.spread.mean())

    @property
    def slope(self) -> float:
        """Slope of outputs on predictions, pooled within targets."""
        return float(self.products / self.squares.clamp_min(1e-300))

    @property
    def level(self) -> float:
        """Squared mean residual, in units of its sampling variance."""
        return float(self.off / self.sampling.clamp_min(1e-300))


def decide_units(
    weight: Float[Tensor, "train targets"],
    bias: Float[Tensor, " targets"],
    *,
    held_out: ImportedRuns,
    by: Standardisation,
) -> UnitsChoice:
    """Judge both readings of a file's coefficients on models it has not seen.

    Predictions that are off by a factor near the masks' deviation, at 50 % by two, and
    say nothing by their level, cannot be told from the other reading; the slopes that
    are returned show it.

    Args:
        weight: The file's coefficients.
        bias: The file's intercepts.
        held_out: Models that the coefficients were not fitted to, of the same targets.
        by: What masks would have been standardised by.

    Returns:
        The reading with the smaller squared error.

    Raises:
        ValueError: If neither predicts better than the mean, so that the files cannot
            belong together, or the rows do not tell the two apart, or tell two things.
    """
    judged: dict[str, _Sums] = {}
    for part in torch.arange(len(bias)).split(max(1, _ENTRIES // held_out.n_models)):
        some = replace(held_out, columns=held_out.columns[part.numpy()])
        for name, sums in _judged(weight[:, part], bias[part], some, by).items():
            judged[name] = judged[name].plus(sums) if name in judged else sums
    n_masks, scale = len(judged[RAW].error), judged[RAW].spread.mean()
    if n_masks < _FEWEST:
        raise ValueError(
            f"held_out must hold at least {_FEWEST} masks to tell units, got {n_masks}"
        )
    r_squared = {name: one.r_squared for name, one in judged.items()}
    if max(r_squared.values()) <= 0:
        raise ValueError(
            "weights must predict held-out rows, but neither reading does (R^2 "
            f"{r_squared[RAW]:.3g} as raw, {r_squared[STANDARDISED]:.3g} as "
            "standardised): check that weights, masks and outputs belong together"
        )
    gap = (judged[RAW].error - judged[STANDARDISED].error) / scale
    mean, error = float(gap.mean()), float(gap.std()) / len(gap) ** 0.5
    if abs(mean) <= _SURE * error:
        raise ValueError(
            "held_out must tell raw from standardised coefficients, but their errors "
            f"differ by {mean:.3g} with a standard error of {error:.2g}: give more "
            "rows, or state units="
        )
    names = (RAW, STANDARDISED) if mean < 0 else (STANDARDISED, RAW)
    _check_agreed(*((name, judged[name]) for name in names))
    width = _NORMAL_95 * error
    return UnitsChoice(
        units=names[0],
        r_squared=r_squared,
        slope={name: one.slope for name, one in judged.items()},
        difference=Interval(mean, mean - width, mean + width),
        n_rows=held_out.n_models,
        n_masks=n_masks,
    )


def _check_agreed(chosen: tuple[str, _Sums], other: tuple[str, _Sums]) -> None:
    """Raise ValueError where level or slope contradict the squared errors.

    Shrinkage lets the false reading have the smaller error; it moves slopes and never
    the level. At the true reading the level's statistic is a few at most.

    Raises:
        ValueError: If they do.
    """
    (name, best), (alternative, worse) = chosen, other
    evidence = (
        f"squared errors say {name}, with slopes of outputs on predictions "
        f"{best.slope:.2f} as {name} and {worse.slope:.2f} as {alternative}, levels "
        f"{best.level**0.5:.1f} and {worse.level**0.5:.1f} standard errors off"
    )
    if _is_level(best) and not _is_level(worse) and worse.level > 4 * best.level:
        return
    contradicted = _is_level(worse) and not _is_level(best)
    # In logarithms a slope of 1.26 is as far from 1 as .63 is twice as far.
    if contradicted or 2 * _off(best.slope) > _off(worse.slope):
        raise ValueError(
            f"held_out must tell raw from standardised coefficients, but {evidence}: "
            "state units="
        )


def _is_level(reading: _Sums) -> bool:
    return reading.level <= _SURE**2


def _off(slope: float) -> float:
    return abs(math.log(slope)) if slope > 0 else math.inf


def _judged(
    weight: Float[Tensor, "train targets"],
    bias: Float[Tensor, " targets"],
    runs: ImportedRuns,
    by: Standardisation,
) -> dict[str, _Sums]:
    """Return how both readings predict these targets."""
    readings = {RAW: (weight, bias), STANDARDISED: raw_units(weight, bias, by)}
    outputs = torch.from_numpy(runs.read_outputs(runs.numbers))
    predicted: dict[str, list[Tensor]] = {name: [] for name in readings}
    fresh: list[np.ndarray] = []
    last = np.full((1, runs.n_train), -1.0)
    for numbers in runs.number_blocks():
        masks = runs.read_masks(numbers)
        before = np.concatenate([last, masks[:-1]])
        fresh.append((masks != before).any(1))
        last = masks[-1:]
        for name, (slope, level) in readings.items():
            predicted[name].append(torch.from_numpy(masks) @ slope + level)
    mask = torch.from_numpy(np.concatenate(fresh)).long().cumsum(0) - 1
    return {n: _sums(outputs, torch.cat(parts), mask) for n, parts in predicted.items()}


def _sums(outputs: Tensor, predicted: Tensor, mask: Tensor) -> _Sums:
    residual = _by_mask(outputs - predicted, mask)
    x, y = (values - values.mean(0) for values in (predicted, outputs))
    return _Sums(
        error=_by_mask((outputs - predicted).square().sum(1), mask),
        spread=_by_mask(y.square().sum(1), mask),
        products=(x * y).sum(),
        squares=x.square().sum(),
        off=residual.mean(0).square().sum(),
        sampling=(residual.var(0, correction=0) / len(residual)).sum(),
    )


def _by_mask(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the rows of each mask."""
    n = int(mask[-1]) + 1
    shape = (n, *values.shape[1:])
    total = torch.zeros(shape, dtype=values.dtype).index_add_(0, mask, values)
    counts = mask.bincount(minlength=n).to(values.dtype)
    return total / counts.reshape(-1, *[1] * (values.ndim - 1))

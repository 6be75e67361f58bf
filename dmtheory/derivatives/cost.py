"""What an estimate cost and what it gave: trainings against standard errors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import centred_interval, resample_counts
from dmtheory.attribution import Attribution
from dmtheory.checks import check_positive

# Resampled variances are taken in slices of about this many numbers.
_SLICE_ENTRIES = 2**22


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """One estimate's place between cost and accuracy.

    Attributes:
        name: Its name.
        method: How it was made, in words.
        n_rows: Examples (groups, directions) that it has scores of.
        n_models: Trainings that were spent.
        stderr: Median standard error of the scores, per weight; 0 where they are exact
            and None where it is unknown.
        trainings: Trainings for a median standard error of the stated size by the
            law 1/m, n_models (stderr/stated)^2, with a 95 % interval over the
            estimate's units, which is no interval without them; n_models where scores
            are exact; None where standard errors are unknown.
    """

    name: str
    method: str
    n_rows: int
    n_models: int
    stderr: float | None
    trainings: Interval | None


def cost_table(
    estimates: Sequence[tuple[str, Attribution]],
    stderr: float,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[CostRow, ...]:
    r"""Put estimates on one scale: trainings that reach a standard error.

    Variances fall as 1/m in the number m of trainings for every route that averages
    over seeds, pairs or subsets. OLS on few more pairs or models than examples does
    better than that as it grows, by 1/(m - N - 1): give it twice as many and more.

    Estimates of fewer examples are cheaper by one example at a time, but not where all
    come from one set of trainings: compare rows of one `n_rows`.

    Args:
        estimates: Attributions by name.
        stderr: The standard error to be reached, per unit of weight.
        draws: Bootstrap draws over units, at least 1,000. The interval has about 90 %
            coverage with ten units.
        seed: Seed of the resampling.

    Returns:
        One row an estimate, in the order given.

    Raises:
        ValueError: If the standard error is not positive, or there are too few draws.
    """
    check_positive(stderr, "stderr")
    return tuple(
        _row(name, attribution.in_unit("per_weight"), stderr, draws, seed)
        for name, attribution in estimates
    )


def _row(
    name: str, attribution: Attribution, wanted: float, draws: int, seed: int
) -> CostRow:
    found = None
    if attribution.stderr is not None:
        found = float(np.median(attribution.stderr.numpy()))
    return CostRow(
        name=name,
        method=attribution.method,
        n_rows=len(attribution.train_labels),
        n_models=attribution.n_models,
        stderr=found,
        trainings=_trainings(attribution, found, wanted, draws, seed),
    )


def _trainings(
    attribution: Attribution,
    found: float | None,
    wanted: float,
    draws: int,
    seed: int,
) -> Interval | None:
    if found is None:
        return None
    if attribution.exact:
        return Interval.exact(float(attribution.n_models))
    needed = attribution.n_models * (found / wanted) ** 2
    if attribution.units is None or found == 0:
        return Interval.exact(needed)
    # In logarithms: an error is known to a factor.
    sample = _resampled(attribution.units, draws, seed).log()
    ratio = centred_interval(torch.zeros((), dtype=torch.float64), sample)
    low, high = torch.tensor([ratio.low, ratio.high], dtype=torch.float64).mul(2).exp()
    return Interval(needed, needed * low.item(), needed * high.item())


def _resampled(
    units: Float[Tensor, "units rows targets"], draws: int, seed: int
) -> Float[Tensor, " draws"]:
    """Return the median standard error of every draw, up to a common factor."""
    flat = units.flatten(1) - units.mean(0).flatten()
    counts = resample_counts(len(units), 1, draws=draws, seed=seed) / len(units)
    size = max(1, _SLICE_ENTRIES // flat.shape[1])
    medians = []
    for part in counts.split(size):
        variances = (part @ flat.square() - (part @ flat).square()).clamp_min(0.0)
        # torch's median is the lower of two middles.
        medians.append(torch.from_numpy(np.median(variances.sqrt().numpy(), axis=1)))
    # All units of a draw may be one and the same.
    return torch.cat(medians).clamp_min(1e-300)

"""The linear datamodeling score: do scores predict outputs of models never seen?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import (
    Intervals,
    centred_interval,
    centred_intervals,
    resample_counts,
)
from dmtheory.agreement.subset_outputs import SubsetOutputs, evaluation_of
from dmtheory.attribution import Attribution
from dmtheory.checks import check_choice
from dmtheory.estimand import Estimand
from dmtheory.responses.responses import Responses
from dmtheory.theory.noise_laws import spearman_map

# Numbers in a slice of draws: a slice and its ranks stay in the processor's cache.
_SLICE_ENTRIES = 2**16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LDS:
    """How well an attribution ranks held-out subsets by their trained outputs.

    Attributes:
        mean: Mean over targets; the interval is over subsets, drawn for all targets
            together, with these scores and these targets held fixed.
        per_target: The score of every target.
        ceiling: The score that no attribution can pass on outputs of so many seeds,
            mean over targets; None without replicates of random training.
        ceiling_per_target: The same of every target; None likewise.
        estimand: What the scores estimate.
        target_labels: One label a target.
        n_subsets: Held-out subsets.
        n_seeds: Training seeds a subset, averaged.
        n_constant: Targets for which the scores predict one number; they count as 0.
        n_diverged: Models that diverged; their subsets are left out.
        draws: Bootstrap draws.
    """

    mean: Interval
    per_target: Intervals
    ceiling: Interval | None
    ceiling_per_target: Float[Tensor, " targets"] | None
    estimand: Estimand
    target_labels: tuple[str, ...]
    n_subsets: int
    n_seeds: int
    n_constant: int
    n_diverged: int
    draws: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One attribution on an LDS table.

    Attributes:
        name: Its name.
        lds: Its score.
        difference: Its mean score minus the reference's, from the same draws.
    """

    name: str
    lds: LDS
    difference: Interval


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LDSTable:
    """Several attributions on the same held-out outputs.

    Attributes:
        rows: One an attribution, in the order given.
        reference: The name of that which differences are taken to.
    """

    rows: tuple[Row, ...]
    reference: str


def lds(
    attribution: Attribution,
    responses: Responses | SubsetOutputs,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> LDS:
    r"""Return the linear datamodeling score on held-out responses.

    LDS_t = Spearman_S(sum_{i in S} score_it, mean_r f_t(Phi(r; 1_S))), S over the
    responses' subsets. Ranks know neither intercept nor scale, so scores at any point
    and in any unit can be judged. Replicates of a subset are averaged, and tell the
    ceiling sqrt(V/(V + s^2/R)), V and s^2 the unbiased variances over subsets and over
    R seeds; on the scale of ranks (6/pi) asin(r/2), which is exact for normal pairs.
    Where V is smaller than its own error the ceiling is cut at 0 and sits too low.

    Penalties, damping and the like must have been chosen before, on other models:
    the responses' experiment seed must not be among the attribution's.

    Args:
        attribution: Scores of the responses' players, or of the examples of groups.
        responses: Models of random subsets that the scores have not seen.
        draws: Bootstrap draws over subsets (whole pairs or blocks), at least 1,000.
        seed: Seed of the resampling.

    Returns:
        The score a target and its mean, with 95 % intervals, and the ceiling.

    References:
        Park et al. 2023, TRAK, section 2 (definition 2.3).
    """
    return lds_table([("", attribution)], responses, draws=draws, seed=seed).rows[0].lds


def lds_table(
    attributions: Sequence[tuple[str, Attribution]],
    responses: Responses | SubsetOutputs,
    *,
    reference: str | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> LDSTable:
    """Score several attributions on one set of held-out responses.

    Args:
        attributions: Names and attributions, one's own or others'.
        responses: Models of random subsets that none of the scores have seen.
        reference: The name that differences are taken to; the first by default.
        draws: Bootstrap draws over subsets, at least 1,000; the same for all.
        seed: Seed of the resampling.

    Returns:
        Every score with its interval and its paired difference to the reference.

    Raises:
        ValueError: If names repeat, a target's outputs never vary, or an attribution
            may not be judged on the responses.
    """
    names = [name for name, _ in attributions]
    if not names or len(set(names)) != len(names):
        raise ValueError(
            f"attributions must be at least one with distinct names, got {names}"
        )
    reference = names[0] if reference is None else reference
    check_choice(reference, tuple(names), "reference")
    held_out = evaluation_of(responses)
    held_out.check_outputs_vary()
    trained = held_out.mean_outputs()
    predicted = [_tied(held_out.predicted(scores)) for _, scores in attributions]
    counts = resample_counts(
        held_out.n_units, held_out.unit_size, draws=draws, seed=seed
    )
    once = torch.ones(1, len(trained), dtype=torch.float64)
    values = rank_correlations(predicted, trained, once)[:, 0]
    samples = rank_correlations(predicted, trained, counts)
    ceilings = _ceilings(held_out, counts)
    base = names.index(reference)
    rows = []
    for k, (name, attribution) in enumerate(attributions):
        gap, gaps = values[k] - values[base], samples[k] - samples[base]
        found = LDS(
            **_intervals(values[k], samples[k]),
            ceiling=ceilings[0],
            ceiling_per_target=ceilings[1],
            estimand=attribution.estimand,
            target_labels=held_out.target_labels,
            n_subsets=len(trained),
            n_seeds=held_out.n_seeds,
            n_constant=int((predicted[k] == predicted[k][0]).all(0).sum()),
            n_diverged=held_out.n_diverged,
            draws=draws,
        )
        difference = centred_interval(gap.mean(), gaps.mean(1))
        rows.append(Row(name=name, lds=found, difference=difference))
    return LDSTable(rows=tuple(rows), reference=reference)


def _intervals(values: Tensor, samples: Tensor) -> dict[str, Any]:
    mean = centred_interval(values.mean(), samples.mean(1))
    per_target = centred_intervals(values, samples)
    return {
        "mean": mean.clipped(-1.0, 1.0),
        "per_target": per_target.clipped(-1.0, 1.0),
    }


def rank_correlations(
    predicted: Sequence[Float[Tensor, "subsets targets"]],
    trained: Float[Tensor, "subsets targets"],
    counts: Float[Tensor, "draws subsets"],
) -> Float[Tensor, "attributions draws targets"]:
    """Return Spearman correlations in samples that hold each subset `counts` times.

    Ranks are taken anew in every draw; ties, those of repeated subsets too, share a
    rank. A constant side gives 0.
    """
    shape = (len(predicted), len(counts), trained.shape[1])
    found = torch.empty(shape, dtype=torch.float64)
    # Draws run along the last axis, so that gathering subsets copies whole rows.
    slices = _slices(counts)
    for target in range(shape[2]):
        ours = _Order.of(trained[:, target])
        theirs = [_Order.of(side[:, target]) for side in predicted]
        for columns, block in slices:
            ranks = ours.ranks(block)
            weighted = block * ranks
            variance = (weighted * ranks).sum(0)
            for k, order in enumerate(theirs):
                others = order.ranks(block)
                covariance = (weighted * others).sum(0)
                scale = (variance * (block * others.square()).sum(0)).sqrt()
                found[k, columns, target] = covariance / scale.clamp_min(1e-300)
    return found.clamp(-1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    """Where each subset stands in sorted order.

    Attributes:
        order: Subsets from the smallest value to the largest.
        before: How many subsets have a smaller value.
        upto: How many have one that is no larger.
    """

    order: Tensor
    before: Tensor
    upto: Tensor

    @staticmethod
    def of(column: Tensor) -> "_Order":
        values = column.contiguous()
        ordered, order = torch.sort(values)
        return _Order(
            order,
            torch.searchsorted(ordered, values),
            torch.searchsorted(ordered, values, right=True),
        )

    def ranks(self, counts: Tensor) -> Tensor:
        """Return average ranks less their mean; counts [subsets, draws]."""
        running = counts.new_zeros(len(counts) + 1, counts.shape[1])
        torch.cumsum(counts[self.order], 0, out=running[1:])
        return (running[self.upto] + running[self.before] - running[-1]) / 2


def _slices(counts: Tensor) -> list[tuple[slice, Tensor]]:
    width = max(1, _SLICE_ENTRIES // counts.shape[1])
    starts = range(0, len(counts), width)
    return [
        (slice(at, at + width), counts[at : at + width].T.contiguous()) for at in starts
    ]


def _tied(predicted: Tensor) -> Tensor:
    """Return predictions in whole steps of their rounding error.

    Sums of the same scores in another order must tie, not be ranked by rounding.
    """
    step = 1e-12 * predicted.abs().amax(0)
    return (predicted / step.clamp_min(1e-300)).round()


def _ceilings(
    held_out: SubsetOutputs, counts: Tensor
) -> tuple[Interval | None, Tensor | None]:
    """Return the mean ceiling and that of every target, on the scale of ranks."""
    if held_out.deterministic:
        ones = torch.ones(len(held_out.target_labels), dtype=torch.float64)
        return Interval.exact(1.0), ones
    if held_out.n_seeds < 2:
        return None, None
    once = torch.ones(1, len(held_out.outputs), dtype=torch.float64)
    value = noise_ceiling(held_out, once)[0]
    sample = torch.cat([noise_ceiling(held_out, c).mean(1) for c in counts.split(256)])
    return centred_interval(value.mean(), sample).clipped(0.0, 1.0), value


def noise_ceiling(
    held_out: SubsetOutputs, counts: Float[Tensor, "draws subsets"]
) -> Float[Tensor, "draws targets"]:
    """Return the Spearman ceiling sqrt(V/(V + s^2/R)), mapped to ranks, a draw.

    s^2 is the variance over seeds and V that of the means less s^2/R, both unbiased;
    V is cut at 0.
    """
    means, within = held_out.mean_outputs(), held_out.outputs.var(1)
    n = counts.sum(1, keepdim=True)
    centred = means - means.mean(0)
    shift = counts @ centred / n
    total = (counts @ centred.square() / n - shift.square()) * n / (n - 1)
    noise = counts @ within / n / held_out.n_seeds
    share = (1 - noise / total.clamp_min(1e-300)).clamp(0, 1)
    return spearman_map(share.sqrt())

"""Pairs of a target and a training example that stand out: leaks to look at first."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least

# Makes the median absolute deviation of normal numbers their standard deviation.
_NORMAL = 1.482602


@dataclass(frozen=True, slots=True)
class Candidate:
    """A training example whose score for a target stands out of all others'.

    Attributes:
        target: The target.
        example: The example with the target's largest score.
        score: That score.
        height: How far it is above the median of the target's scores, in their robust
            standard deviations.
        gap: The score less the second largest, in the same unit.
    """

    target: str
    example: str
    score: float
    height: float
    gap: float


def leakage_candidates(attribution: Attribution, k: int = 10) -> tuple[Candidate, ...]:
    """Return the targets whose most helpful example stands out most.

    A copy of a target in the training data acts on it as no other example does. Nothing
    but scores is asked for, so a candidate is a pair to look at and no proof: an
    example may stand out by being the only one of its kind, or by the error of its
    score.

    Args:
        attribution: Scores of all examples, at least 3, for any targets.
        k: How many, fewer where there are fewer targets.

    Returns:
        Candidates, the highest first.

    Raises:
        ValueError: If k < 1 or there are fewer than 3 examples.

    References:
        Ilyas et al. 2022, Datamodels, section 4.2 (train-test leakage).
    """
    check_at_least(k, 1, "k")
    check_at_least(len(attribution.train_labels), 3, "number of examples")
    scores = attribution.scores
    deviation = _spread(scores)
    largest = scores.topk(2, dim=0)
    # Of equal scores the first, which topk does not promise.
    place = (scores == largest.values[0]).byte().argmax(0)
    height = (largest.values[0] - scores.median(0).values) / deviation
    gap = (largest.values[0] - largest.values[1]) / deviation
    order = torch.argsort(height, descending=True, stable=True)[:k].tolist()
    return tuple(
        Candidate(
            target=attribution.target_labels[t],
            example=attribution.train_labels[int(place[t])],
            score=float(largest.values[0, t]),
            height=float(height[t]),
            gap=float(gap[t]),
        )
        for t in order
    )


def _spread(scores: Float[Tensor, "train targets"]) -> Float[Tensor, " targets"]:
    """Return a robust standard deviation; of sparse scores the plain one."""
    centred = scores - scores.median(0).values
    robust = _NORMAL * centred.abs().median(0).values
    plain = centred.square().mean(0).sqrt().clamp_min(1e-300)
    return torch.where(robust > 0, robust, plain)

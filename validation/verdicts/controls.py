"""Estimates spoiled on purpose: what a claim has to notice, or it decides nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.designs.seeds import Purpose, permutation
from validation.claim import RANK, SCALE, SIGN, Evidence

_SHARE_PERMUTED = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A way to spoil every estimate of an entry.

    Attributes:
        name: What is wrong, in words.
        kind: "scale", "sign" or "rank", of which a claim says which it has to notice;
            other kinds are shown in the matrix alone.
        spoil: Returns the wrong estimate.
        of_both: Whether references are spoiled too: a slope takes the noise of its
            reference out by that one's halves.
    """

    name: str
    kind: str
    spoil: Callable[[Attribution], Attribution]
    of_both: bool = False

    def applied(self, evidence: Evidence) -> Evidence:
        """Return the evidence with every estimate spoiled."""
        wrong = {name: self.spoil(a) for name, a in evidence.estimates.items()}
        references = evidence.references
        if self.of_both:
            references = {name: self.spoil(a) for name, a in references.items()}
        return replace(evidence, estimates=wrong, references=references)


def scaled(factor: float) -> Callable[[Attribution], Attribution]:
    """Return a rule that multiplies estimates."""
    return lambda attribution: attribution.scaled(factor)


def permuted(share: float) -> Callable[[Attribution], Attribution]:
    """Return a rule that permutes a share of the examples, each to another's place."""

    def spoil(attribution: Attribution) -> Attribution:
        rows = _moved(len(attribution.train_labels), share)
        return replace(
            attribution,
            scores=attribution.scores[rows],
            stderr=None if attribution.stderr is None else attribution.stderr[rows],
            units=None if attribution.units is None else attribution.units[:, rows],
        )

    return spoil


def _moved(n_train: int, share: float) -> Tensor:
    chosen = permutation(0, Purpose.SPLIT, 1, torch.arange(n_train))
    chosen = chosen[: max(2, round(share * n_train))]
    rows = torch.arange(n_train)
    rows[chosen] = chosen.roll(1)
    return rows


def divided_by_examples(attribution: Attribution) -> Attribution:
    """Return the estimate in another unit than it says: a misplaced 1/N."""
    return attribution.scaled(1 / attribution.n_train)


def divided_by_level(attribution: Attribution) -> Attribution:
    """Return the estimate times its point's p: the divisor N where pN is right.

    At w = 1 nothing changes.
    """
    return attribution.scaled(attribution.estimand.point.level)


def of_one_half(attribution: Attribution) -> Attribution:
    """Return the estimate as if its halves were independent, though both are one.

    Where the estimate is the noisy side of a slope or correlation, its noise then
    counts as signal.
    """
    if attribution.units is None:
        return attribution
    same = attribution.scores.expand(len(attribution.units), -1, -1)
    return replace(attribution, units=same.clone())


CONTROLS = (
    Control(name="estimate scaled by 1.25", kind=SCALE, spoil=scaled(1.25)),
    Control(name="sign flipped", kind=SIGN, spoil=scaled(-1.0)),
    Control(
        name="20 % of the examples permuted",
        kind=RANK,
        spoil=permuted(_SHARE_PERMUTED),
    ),
)
# Beside those, for the matrix of the thorough suite.
MORE_CONTROLS = (
    Control(name="estimate scaled by 2", kind=SCALE, spoil=scaled(2.0)),
    Control(name="estimate scaled by 1/1.25", kind=SCALE, spoil=scaled(0.8)),
    Control(name="1/N misplaced", kind=SCALE, spoil=divided_by_examples),
    Control(name="divisor N for pN", kind="divisor", spoil=divided_by_level),
    Control(name="mask columns permuted", kind=RANK, spoil=permuted(1.0)),
    Control(
        name="halves not independent", kind="noise", spoil=of_one_half, of_both=True
    ),
)

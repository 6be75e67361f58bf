"""Leaks: do an attribution's first examples of a target include its copies?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.agreement.bootstrap import Interval
from dmtheory.agreement.resampling import centred_interval, resample_counts
from dmtheory.applications.choosing import order_of
from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least
from dmtheory.designs.points import check_coordinates

_LEAST_TARGETS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CopiesFound:
    """How many of each target's copies are among its first examples.

    Attributes:
        target_labels: One label a target.
        n_copies: Copies a target has.
        n_taken: Examples that were taken.
        n_hits: Of those, copies.
    """

    target_labels: tuple[str, ...]
    n_copies: Int64[Tensor, " targets"]
    n_taken: Int64[Tensor, " targets"]
    n_hits: Int64[Tensor, " targets"]

    @property
    def precision(self) -> Float[Tensor, " targets"]:
        """The share of the examples taken that are copies."""
        return self.n_hits / self.n_taken.double()

    @property
    def recall(self) -> Float[Tensor, " targets"]:
        """The share of the copies that were taken."""
        return self.n_hits / self.n_copies.double()

    def mean_recall(self, targets: Sequence[int] | None = None) -> Interval:
        """Return the mean recall over targets (places in `target_labels`)."""
        return _mean(_picked(self.recall, targets)).clipped(0.0, 1.0)

    def mean_precision(self, targets: Sequence[int] | None = None) -> Interval:
        """Return the mean precision over targets (places in `target_labels`)."""
        return _mean(_picked(self.precision, targets)).clipped(0.0, 1.0)


def copies_found(
    attribution: Attribution,
    copies: Mapping[int, Sequence[int]],
    *,
    top: int | None = None,
) -> CopiesFound:
    """Look for each target's copies among its most helpful examples.

    Args:
        attribution: Scores of all training examples.
        copies: The training examples that are copies of a target, by target number.
        top: How many examples are taken; by default as many as the target has copies,
            and precision and recall are then the same number.

    Returns:
        Precision and recall of every target.

    Raises:
        ValueError: If an example or a target is out of range, or nothing is there to
            be found.
    """
    check_at_least(len(copies), 1, "number of targets with copies")
    n_train = attribution.n_train
    if len(attribution.train_labels) != n_train:
        raise ValueError(
            f"attribution must have a row for each of the {n_train} training examples, "
            f"got {len(attribution.train_labels)}"
        )
    n_copies, n_taken, n_hits = [], [], []
    for target, rows in copies.items():
        check_coordinates(tuple(rows), n_train, f"copies of target {target}")
        n = len(rows) if top is None else top
        check_at_least(n, 1, "top")
        first = order_of(attribution, attribution.target_number(target))[:n]
        n_copies.append(len(rows))
        n_taken.append(len(first))
        n_hits.append(len(set(first.tolist()) & set(rows)))
    return CopiesFound(
        target_labels=tuple(attribution.target_labels[t] for t in copies),
        n_copies=torch.tensor(n_copies),
        n_taken=torch.tensor(n_taken),
        n_hits=torch.tensor(n_hits),
    )


def recall_difference(a: CopiesFound, b: CopiesFound) -> Interval:
    """Return the mean recall of a minus that of b, over the same targets.

    Both see the same resampled targets, so the difference is sharper than either.

    Raises:
        ValueError: If the targets or their copies differ.
    """
    if a.target_labels != b.target_labels or not torch.equal(a.n_copies, b.n_copies):
        raise ValueError("a and b must look for the same copies of the same targets")
    return _mean(a.recall - b.recall)


def _picked(values: Tensor, targets: Sequence[int] | None) -> Tensor:
    return values if targets is None else values[list(targets)]


def _mean(values: Float[Tensor, " targets"]) -> Interval:
    """Return the mean over targets with a bootstrap interval over them."""
    n = len(values)
    if n < _LEAST_TARGETS:
        raise ValueError(
            f"targets must number at least {_LEAST_TARGETS} for an interval over them, "
            f"got {n}"
        )
    counts = resample_counts(n, 1, draws=1000, seed=0)
    # A bootstrap of few is too narrow by sqrt((n - 1)/n).
    moves = (n / (n - 1)) ** 0.5 * (counts @ (values - values.mean())) / n
    return centred_interval(values.mean(), values.mean() + moves)

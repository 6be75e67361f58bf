"""The law that masks were drawn by, told from their counts, or stated and checked."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from dmtheory.designs import Bernoulli, FixedSize, SubsetDesign
from dmtheory.estimand import Point

FIXED_SIZE, INDEPENDENT = "fixed size", "Bernoulli"
# How far from its expectation an honest file never is, in standard deviations, and the
# probability of what is too regular.
_FAR, _RARE = 8.0, 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How large some subsets are, and how many of them hold each example.

    Attributes:
        sizes: One a subset.
        held: One an example.
    """

    sizes: Int64[np.ndarray, " models"]
    held: Int64[np.ndarray, " train"]

    @property
    def share(self) -> float:
        """Mean share of examples in a subset."""
        return float(self.sizes.mean()) / len(self.held)


def count_masks(blocks: Iterable[np.ndarray], n_train: int) -> Counts:
    """Count masks; one that repeats the one before it, as replicates do, counts once.

    Args:
        blocks: Consecutive masks, [models, train].
        n_train: N.

    Returns:
        Their counts.
    """
    sizes: list[np.ndarray] = []
    held = np.zeros(n_train, dtype=np.int64)
    last: np.ndarray | None = None
    for masks in blocks:
        new = np.ones(len(masks), dtype=np.bool_)
        new[1:] = (masks[1:] != masks[:-1]).any(1)
        new[0] = last is None or bool((masks[0] != last).any())
        fresh, last = masks[new], masks[-1].copy()
        sizes.append(fresh.sum(1).astype(np.int64))
        held += fresh.sum(0).astype(np.int64)
    return Counts(sizes=np.concatenate(sizes), held=held)


def told_law(counts: Counts) -> Point | None:
    """Return the law of independent subsets that these counts can come from.

    One size is the law of fixed size, sizes with the variance of Bernoulli's are
    Bernoulli's. In either case the number of subsets that hold an example must vary
    over examples as it does by chance: in pairs, partitions and leave-one-out it does
    not, since rows depend on one another.

    Args:
        counts: Of two or more subsets.

    Returns:
        The law, or None.
    """
    m, n, p = len(counts.sizes), len(counts.held), counts.share
    if m < 2 or n < 2 or not 0 < p < 1:
        return None
    if not _by_chance(counts.held, m, p * (1 - p) * n / (n - 1), p):
        return None
    if bool((counts.sizes == counts.sizes[0]).all()):
        return Point("subsets", p, FIXED_SIZE)
    if not _by_chance(counts.sizes, n, p * (1 - p), p):
        return None
    return Point("subsets", p, INDEPENDENT)


def check_share(counts: Counts, p: float, name: str) -> None:
    """Raise ValueError unless the subsets can hold a share p of the examples.

    Args:
        counts: Of some subsets.
        p: The share that was stated.
        name: What holds the masks, for the message.

    Raises:
        ValueError: If they hold another share.
    """
    sizes, n_train, spread = counts.sizes, len(counts.held), 0.0
    if bool((sizes != sizes[0]).any()):
        spread = _FAR * (n_train * p * (1 - p) / len(sizes)) ** 0.5
    # A fixed size is p N rounded up or down.
    if abs(float(sizes.mean()) - p * n_train) > spread + 1.0:
        raise ValueError(
            f"{name} must hold subsets of {p:g} of {n_train} examples, got "
            f"{counts.share:.4f} on average: the file is of another fraction"
        )


def design_of_law(law: Point, n_train: int, n_models: int) -> SubsetDesign:
    """Return a design of this law; its seed is nobody's, only its law is meant.

    Args:
        law: A law of subsets.
        n_train: N.
        n_models: How many rows.

    Returns:
        The design.

    Raises:
        ValueError: If no datamodel is defined for the law.
    """
    if law.kind == "subsets" and law.law == INDEPENDENT:
        return Bernoulli(p=law.level, n_models=n_models)
    if law.kind == "subsets" and law.law == FIXED_SIZE:
        return FixedSize(size=round(law.level * n_train), n_models=n_models)
    raise ValueError(
        f"law must be Bernoulli or of fixed size for a datamodel, got {law}"
    )


def _by_chance(totals: np.ndarray, n_terms: int, variance: float, p: float) -> bool:
    """Return whether sums of n_terms indicators vary as chance makes them.

    sum (c - mean)^2/(n_terms variance) is chi^2 with one degree of freedom less than
    there are sums; rare indicators have a longer upper tail.
    """
    from scipy.special import chdtr

    freedom = len(totals) - 1
    dispersion = freedom * float(totals.var(ddof=1)) / (n_terms * variance)
    tail = max(0.0, (1 - 6 * p * (1 - p)) / (n_terms * p * (1 - p)))
    if dispersion - freedom > _FAR * (freedom * (2 + tail)) ** 0.5:
        return False
    return bool(chdtr(freedom, dispersion) >= _RARE)

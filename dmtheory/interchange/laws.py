"""By which law were these masks drawn? Told from their sizes, or stated and checked."""

import numpy as np

from dmtheory.designs import Bernoulli, FixedSize, SubsetDesign
from dmtheory.estimand import Point

FIXED_SIZE, INDEPENDENT = "fixed size", "Bernoulli"
# Standard deviations that an honest file is never away: chance 1e-9 a file.
_FAR = 6.0


def law_of_sizes(sizes: np.ndarray, n_train: int) -> Point | None:
    """Return the law that subsets of these sizes can follow.

    One size is a law of fixed size. Sizes with the variance N p(1-p) are Bernoulli's:
    (m - 1) s^2/(N p(1-p)) is chi^2 with m - 1 degrees of freedom. Subsets of unequal
    size with another variance follow neither.

    Args:
        sizes: How many examples each subset holds.
        n_train: N.

    Returns:
        The law, or None.
    """
    m, mean = len(sizes), float(sizes.mean())
    if not 0 < mean < n_train:
        return None
    p = mean / n_train
    if bool((sizes == sizes[0]).all()):
        # One subset, or two that agree by chance, say little of how they were drawn.
        return Point("subsets", p, FIXED_SIZE) if m > 1 else None
    freedom = m - 1
    dispersion = freedom * float(sizes.var(ddof=1)) / (n_train * p * (1 - p))
    if abs(dispersion - freedom) > _FAR * (2 * freedom) ** 0.5:
        return None
    return Point("subsets", p, INDEPENDENT)


def check_share(sizes: np.ndarray, n_train: int, p: float, name: str) -> None:
    """Raise ValueError unless subsets of these sizes can hold a share p of N.

    Args:
        sizes: How many examples each subset holds.
        n_train: N.
        p: The share that was stated.
        name: What holds the masks, for the message.

    Raises:
        ValueError: If they hold another share.
    """
    spread = 0.0
    if bool((sizes != sizes[0]).any()):
        spread = _FAR * (n_train * p * (1 - p) / len(sizes)) ** 0.5
    # A fixed size is p N rounded up or down.
    if abs(float(sizes.mean()) - p * n_train) > spread + 1.0:
        raise ValueError(
            f"{name} must hold subsets of {p:g} of {n_train} examples, got "
            f"{sizes.mean() / n_train:.4f} on average: the file is of another fraction"
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

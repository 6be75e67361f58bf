"""The scores of a result, and how far they may be off."""

from typing import Any

import torch
from torch import Tensor

from dmtheory.testing.properties import Violation

# Standard errors by which an estimate may be off where nothing is drawn.
EXACT_ERRORS = 5.0
# The same where masks are drawn: below 1e-8 an entry for t with 40 degrees of freedom.
DRAWN_ERRORS = 8.0


def finite_scores(found: Any, n_train: int, n_targets: int) -> Tensor:
    """Return the scores of a result.

    Raises:
        Violation: If they are no finite matrix [train, targets] of this shape.
    """
    scores = as_scores(found)
    expected = n_train, n_targets
    if tuple(scores.shape) != expected:
        raise Violation(
            f"scores must have shape {expected} (train, targets), got "
            f"{tuple(scores.shape)}"
        )
    if not bool(torch.isfinite(scores).all()):
        raise Violation("scores must be finite, got some that are not")
    return scores


def as_scores(found: Any) -> Tensor:
    """Return the scores of a result: an `Attribution`, or the array itself."""
    scores = getattr(found, "scores", found)
    return torch.as_tensor(scores).detach().cpu().double()

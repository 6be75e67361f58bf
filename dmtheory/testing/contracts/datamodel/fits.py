"""Calling a datamodel estimator, and reading what it returns."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dmtheory.testing.comparing import check_same
from dmtheory.testing.contracts.scores import finite_scores
from dmtheory.testing.properties import Declared
from dmtheory.testing.strategies.studies import Study


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """What an estimator returned, as float64 tensors.

    Attributes:
        scores: [train, targets].
        stderr: Their standard errors, None where it has none.
        intercept: [targets], None where it has none.
    """

    scores: Tensor
    stderr: Tensor | None
    intercept: Tensor | None

    def spread(self, errors: float) -> Tensor | None:
        """Return so many standard errors."""
        return None if self.stderr is None else errors * self.stderr


def fitted(declared: Declared, study: Study) -> Fitted:
    """Call the estimator on copies of a study.

    Returns:
        What it returned.

    Raises:
        Violation: If it returns no matrix [train, targets], or one that is not finite.
    """
    found = declared(study.masks.clone(), study.outputs.clone(), study.design)
    return Fitted(
        scores=finite_scores(found, study.masks.shape[1], study.outputs.shape[1]),
        stderr=_optional(found, "stderr"),
        intercept=_optional(found, "intercept"),
    )


def _optional(found: Any, name: str) -> Tensor | None:
    value = getattr(found, name, None)
    return None if value is None else torch.as_tensor(value).detach().cpu().double()


def check_scores(
    declared: Declared,
    study: Study,
    found: Fitted,
    expected: Tensor,
    *,
    errors: float = 0.0,
    what: str = "scores",
) -> None:
    """Raise unless scores are as expected within the stated error.

    Args:
        declared: States the numerical error, relative to scores and outputs.
        study: What was fitted to.
        found: What came, perhaps with standard errors.
        expected: What should have come.
        errors: So many standard errors are allowed on top.
        what: Name in the message.

    Raises:
        Violation: If they are not.
    """
    check_same(
        found.scores,
        expected,
        what,
        tolerance=declared.tolerance,
        size=variation(study),
        spread=found.spread(errors) if errors else None,
    )


def variation(study: Study) -> float:
    """Return the largest distance of an output from its target's mean.

    At least a millionth of the outputs: those that are constant leave their rounding.
    """
    apart = (study.outputs - study.outputs.mean(0)).abs().max().item()
    return max(apart, 1e-6 * study.outputs.abs().max().item())


def limit_of(declared: Declared, beta: Tensor, variance: float) -> Tensor:
    """Return what the estimator says it estimates where beta is the truth."""
    if declared.limit is None:
        return beta
    return torch.as_tensor(declared.limit(beta, variance)).double()

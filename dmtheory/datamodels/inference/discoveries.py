"""Which examples matter at all: p-values with false discoveries under control."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from dmtheory.attribution import Attribution
from dmtheory.checks import check_at_least, check_choice, check_open_unit

# Benjamini-Hochberg, for independent or positively dependent scores; Benjamini-
# Yekutieli, for any dependence.
Method = Literal["bh", "by"]
METHODS = ("bh", "by")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Discoveries:
    """Scores that are not zero, up to a stated rate of false ones.

    Attributes:
        p_values: Two-sided, of the hypothesis that the estimand is zero.
        adjusted: The smallest rate at which each score is a discovery.
        found: Which are discoveries, adjusted <= rate.
        rate: Bound on the expected share of false discoveries, a target.
        method: "bh" or "by".
        train_labels: One label a row.
        target_labels: One label a column.
    """

    p_values: Float[Tensor, "train targets"]
    adjusted: Float[Tensor, "train targets"]
    found: Bool[Tensor, "train targets"]
    rate: float
    method: str
    train_labels: tuple[str, ...]
    target_labels: tuple[str, ...]

    def names(self, target: str) -> tuple[str, ...]:
        """Return the examples discovered for a target, most certain first.

        Raises:
            ValueError: If the target is unknown.
        """
        check_choice(target, self.target_labels, "target")
        column = self.target_labels.index(target)
        order = torch.argsort(self.p_values[:, column], stable=True)
        chosen = order[self.found[order, column]]
        return tuple(self.train_labels[i] for i in chosen.tolist())


def p_values(
    scores: Float[Tensor, "train targets"],
    stderr: Float[Tensor, "train targets"],
    *,
    degrees_of_freedom: int | None = None,
) -> Float[Tensor, "train targets"]:
    """Return two-sided p-values, P(|T| >= |score|/stderr) where the estimand is zero.

    Args:
        scores: Estimates whose errors are normal.
        stderr: Their standard errors; where one is 0 the score is exact.
        degrees_of_freedom: Residual degrees of freedom of a fit, for Student's t;
            None for the normal law, which a fit of many models has.

    Returns:
        Values in [0, 1]; for an exact score 1 if it is zero and else 0.
    """
    from scipy.special import stdtr

    if degrees_of_freedom is not None:
        check_at_least(degrees_of_freedom, 1, "degrees_of_freedom")
    freedom = np.inf if degrees_of_freedom is None else degrees_of_freedom
    exact = stderr == 0
    ratio = scores.abs() / torch.where(exact, 1.0, stderr)
    tails = torch.from_numpy(np.asarray(2 * stdtr(freedom, -ratio.numpy())))
    return torch.where(exact, (scores == 0).double(), tails)


def discoveries(
    attribution: Attribution,
    *,
    rate: float = 0.1,
    degrees_of_freedom: int | None = None,
    method: Method = "bh",
) -> Discoveries:
    r"""Find the scores that are not zero, with false discoveries controlled a target.

    Sorted p_(1) <= ... <= p_(n), the first k = max{i: p_(i) <= rate i/(n c)} are
    discoveries, c = 1 (Benjamini-Hochberg) or sum_{i <= n} 1/i (Benjamini-Yekutieli).
    Then E[false / max(1, found)] <= rate for every target, whose scores are a family.

    A score is tested as an estimate of its own estimand: OLS and a de-biased LASSO
    estimate beta(p), a ridge the shrunk E beta-hat, which vanishes nowhere else than
    beta when coefficients are isotropic only.

    Args:
        attribution: Scores with standard errors.
        rate: Bound on the expected share of false discoveries, in (0, 1).
        degrees_of_freedom: Residual degrees of freedom of the fit; None for the
            normal law, which makes too many discoveries below about 50.
        method: "bh", which holds for independent and positively dependent scores, or
            "by", which holds always and finds fewer.

    Returns:
        p-values, adjusted ones, and what was found.

    Raises:
        ValueError: If there are no standard errors, or rate or method is out of range.

    References:
        Benjamini and Hochberg 1995; Benjamini and Yekutieli 2001.
    """
    from scipy.stats import false_discovery_control

    check_open_unit(rate, "rate")
    check_choice(method, METHODS, "method")
    if attribution.stderr is None:
        raise ValueError(
            "attribution must have standard errors for p-values, got "
            f"{attribution.method or attribution.estimand.quantity} without: use OLS, "
            "or debiased(...) for a LASSO"
        )
    values = p_values(
        attribution.scores, attribution.stderr, degrees_of_freedom=degrees_of_freedom
    )
    adjusted = torch.from_numpy(
        false_discovery_control(values.numpy(), axis=0, method=method)
    )
    return Discoveries(
        p_values=values,
        adjusted=adjusted,
        found=adjusted <= rate,
        rate=rate,
        method=method,
        train_labels=attribution.train_labels,
        target_labels=attribution.target_labels,
    )

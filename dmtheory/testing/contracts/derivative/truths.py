"""Agreement of derivatives with what is known exactly, and of errors with seeds."""

import math

import torch

from dmtheory.testing.comparing import check_same
from dmtheory.testing.contracts.derivative.calls import call, derived
from dmtheory.testing.contracts.scores import DRAWN_ERRORS, as_scores
from dmtheory.testing.properties import Declared, NotApplicable, Property, Violation
from dmtheory.testing.strategies.networks import trained_networks
from dmtheory.testing.strategies.responses import (
    ResponseCase,
    noisy,
    sample_means,
    set_functions,
    squares,
)

_N_TARGETS, _N_SEEDS = 60, 6
# Five standard deviations over as many independent slopes, and what a normal quantile
# in place of Student's costs with 20 units or more.
_BAND = 5 * math.sqrt(0.95 * 0.05 / (3 * _N_TARGETS * _N_SEEDS)) + 0.016
_NORMAL_95 = 1.959964


def _is_the_truth(declared: Declared, case: ResponseCase) -> None:
    """Raise unless scores are the truth, within the stated and the standard errors."""
    stderr = getattr(call(declared, case), "stderr", None)
    check_same(
        derived(declared, case),
        case.derivative,
        "scores",
        tolerance=declared.tolerance,
        size=1.0,
        spread=None if stderr is None else DRAWN_ERRORS * torch.as_tensor(stderr),
    )


def _cancels_the_level(declared: Declared, case: ResponseCase) -> None:
    check_same(
        derived(declared, case),
        case.derivative,
        "scores under seed noise of the level",
        tolerance=max(declared.tolerance, 1e-6),
        size=1.0,
    )


def _covers(declared: Declared, case: ResponseCase) -> None:
    shares = []
    for seed in range(_N_SEEDS):
        found = call(declared, case, seed=seed)
        if getattr(found, "stderr", None) is None:
            raise NotApplicable("the estimator returns no standard errors")
        reach = _NORMAL_95 * torch.as_tensor(found.stderr).double()
        off = (as_scores(found) - case.derivative).abs()
        shares.append((off <= reach).double().mean().item())
    share = sum(shares) / len(shares)
    if abs(share - 0.95) > _BAND:
        raise Violation(
            f"95 % intervals must cover {0.95 - _BAND:.3f} to {0.95 + _BAND:.3f} of "
            f"the slopes, got {share:.3f}"
        )


TRUTHS = (
    Property(
        name="set functions",
        statement="dF~/dw_i = F~(w, w_i = 1) - F~(w, w_i = 0), at any weights.",
        cases=set_functions(),
        check=_is_the_truth,
    ),
    Property(
        name="sample mean",
        statement="dF/dw_i = (y_i - F)/sum_j w_j, at any weights.",
        cases=sample_means(),
        check=_is_the_truth,
    ),
    Property(
        name="curved response",
        statement="F = (b'w)^2 has dF/dw = 2 (b'w) b.",
        cases=squares(),
        check=_is_the_truth,
    ),
    Property(
        name="networks",
        statement="The exact pathwise derivative of a tanh network's training.",
        cases=trained_networks(),
        check=_is_the_truth,
        cost=2,
    ),
    Property(
        name="weight 0",
        statement="At a weight of 0 the derivative from the right, without training at "
        "negative weights.",
        cases=set_functions(zeros=True),
        check=_is_the_truth,
    ),
    Property(
        name="common seeds",
        statement="Seed noise of the output's level cancels: both sides share seeds.",
        cases=noisy(slope=0.0, level=100.0),
        check=_cancels_the_level,
    ),
    Property(
        name="interval coverage",
        statement="95 % intervals over seeds cover 95 % of the slopes.",
        cases=noisy(slope=1.0, level=1.0, n_targets=_N_TARGETS),
        check=_covers,
        cost=20,
    ),
)

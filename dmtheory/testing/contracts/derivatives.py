"""The contract of response derivatives."""

import math
from collections.abc import Callable
from typing import Any

import torch

from dmtheory.derivatives.method import DerivativeMethod
from dmtheory.testing.comparing import check_same
from dmtheory.testing.contracts.derivative_laws import (
    DERIVATIVE_LAWS,
    call,
    check_truth,
    derived,
)
from dmtheory.testing.contracts.fits import as_scores
from dmtheory.testing.declaring import declared_as
from dmtheory.testing.profiles import Profile
from dmtheory.testing.properties import Declared, NotApplicable, Property, Violation
from dmtheory.testing.running import run_contract
from dmtheory.testing.strategies.networks import trained_networks
from dmtheory.testing.strategies.responses import (
    ResponseCase,
    noisy,
    sample_means,
    set_functions,
    squares,
)
from dmtheory.testing.table import ContractTable

_N_TARGETS, _N_SEEDS = 60, 6
# Five standard deviations over as many independent slopes, and what a normal quantile
# in place of Student's costs with 20 units or more.
_BAND = 5 * math.sqrt(0.95 * 0.05 / (3 * _N_TARGETS * _N_SEEDS)) + 0.016
_NORMAL_95 = 1.959964


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


DERIVATIVE = (
    *DERIVATIVE_LAWS,
    Property(
        name="set functions",
        statement="dF~/dw_i = F~(w, w_i = 1) - F~(w, w_i = 0), at any weights.",
        cases=set_functions(),
        check=check_truth,
    ),
    Property(
        name="sample mean",
        statement="dF/dw_i = (y_i - F)/sum_j w_j, at any weights.",
        cases=sample_means(),
        check=check_truth,
    ),
    Property(
        name="curved response",
        statement="F = (b'w)^2 has dF/dw = 2 (b'w) b.",
        cases=squares(),
        check=check_truth,
    ),
    Property(
        name="networks",
        statement="The exact pathwise derivative of a tanh network's training.",
        cases=trained_networks(),
        check=check_truth,
        cost=2,
    ),
    Property(
        name="weight 0",
        statement="At a weight of 0 the derivative from the right, without training at "
        "negative weights.",
        cases=set_functions(zeros=True),
        check=check_truth,
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


def check_derivative(
    derive: Callable[..., Any] | DerivativeMethod,
    *,
    profile: Profile | None = None,
    **promises: Any,
) -> ContractTable:
    r"""Try everything that an estimate of the response derivative owes.

    g_i(w) = d/dw_i E_r f(Phi(r; w)), per unit of w_i, positive: more weight raises the
    output.

    Args:
        derive: A function of (problem, at=weights [train], coordinates=None or numbers
            of examples, seed=experiment seed) that returns scores [coordinates,
            targets], or an object with `scores` and, if it has them, `stderr`; or a
            method of this package. The problem has `respond` alone, but where it is a
            network. Raise NotImplementedError for what it does not take.
        profile: How hard to try; by default as Hypothesis is set.
        **promises: Fields of `Declared`: `not_promised`, `tolerance`.

    Returns:
        A table of what holds and what does not, with the smallest counterexamples.
    """
    return run_contract(
        DERIVATIVE, declared_as("derivative", derive, promises), profile
    )

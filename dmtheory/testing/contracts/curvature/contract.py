"""The contract of curvature operators."""

from collections.abc import Callable
from typing import Any

from dmtheory.influence.curvature.base import Curvature
from dmtheory.testing.contracts.curvature.calls import CALLS
from dmtheory.testing.contracts.curvature.matrix import MATRIX
from dmtheory.testing.contracts.curvature.parts import PARTS
from dmtheory.testing.contracts.curvature.refusals import REFUSALS
from dmtheory.testing.contracts.curvature.truths import TRUTHS
from dmtheory.testing.declaring import declared_as
from dmtheory.testing.profiles import Profile
from dmtheory.testing.running import run_contract
from dmtheory.testing.table import ContractTable

CURVATURE = (
    *CALLS,
    *MATRIX,
    *PARTS,
    *TRUTHS,
    *REFUSALS,
)


def check_curvature_operator(
    op: Callable[..., Any] | Curvature,
    *,
    profile: Profile | None = None,
    **promises: Any,
) -> ContractTable:
    r"""Try everything that a curvature of J owes, as an operator.

    C = sum_j (w_j/W) D_j + R'', undamped, D_j the losses' Hessian, Gauss-Newton matrix,
    Fisher or empirical Fisher at one parameter vector.

    Args:
        op: A function of (problem, params, scaled_weights = w/W) that returns an object
            with `product(vectors [params, sides])` and, if it has one, `dense()`; or a
            curvature of this package. The problem is a small `Network`, whose
            `make_module`, `data` and `penalty` say the rest.
        profile: How hard to try; by default as Hypothesis is set.
        **promises: Fields of `Declared`: `not_promised`, `tolerance`, `kind`.

    Returns:
        A table of what holds and what does not, with the smallest counterexamples.
    """
    return run_contract(CURVATURE, declared_as("curvature", op, promises), profile)

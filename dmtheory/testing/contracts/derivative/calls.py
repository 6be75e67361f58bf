"""Calling a derivative: a table of scores, its seeds, nothing touched."""

from typing import Any

import torch
from torch import Tensor

from dmtheory.testing.comparing import check_again, check_same
from dmtheory.testing.contracts.scores import finite_scores
from dmtheory.testing.properties import Declared, Property, Violation
from dmtheory.testing.strategies.networks import trained_networks
from dmtheory.testing.strategies.responses import ResponseCase, noisy, smooth_responses

_ANY = smooth_responses()
_RANDOM = noisy(slope=1.0, level=1.0)


def call(
    declared: Declared,
    case: ResponseCase,
    *,
    seed: int = 0,
    coordinates: tuple[int, ...] | None = None,
) -> Any:
    """Call the estimator on a case."""
    return declared(
        case.problem, at=case.at.clone(), coordinates=coordinates, seed=seed
    )


def derived(
    declared: Declared,
    case: ResponseCase,
    *,
    seed: int = 0,
    coordinates: tuple[int, ...] | None = None,
) -> Tensor:
    """Return the scores of a case.

    Raises:
        Violation: If they are no finite matrix [coordinates, targets].
    """
    found = call(declared, case, seed=seed, coordinates=coordinates)
    n_rows = len(case.at) if coordinates is None else len(coordinates)
    return finite_scores(found, n_rows, case.derivative.shape[1])


def check_derived(declared: Declared, case: ResponseCase, expected: Tensor) -> None:
    """Raise unless the scores of a case are as expected, within the stated error."""
    found = derived(declared, case)
    check_same(found, expected, "scores", tolerance=declared.tolerance, size=1.0)


def _returns_a_table(declared: Declared, case: ResponseCase) -> None:
    derived(declared, case)


def _is_deterministic(declared: Declared, case: ResponseCase) -> None:
    first = derived(declared, case, seed=3)
    check_again(derived(declared, case, seed=3), first, "scores of the second call")


def _draws_fresh_seeds(declared: Declared, case: ResponseCase) -> None:
    first, second = (derived(declared, case, seed=seed) for seed in (0, 1))
    if torch.equal(first, second):
        raise Violation("another experiment seed must draw other trainings, got none")


def _keeps_its_inputs(declared: Declared, case: ResponseCase) -> None:
    at = case.at.clone()
    declared(case.problem, at=at, coordinates=None, seed=0)
    check_same(at, case.at, "at after the call", tolerance=0.0)


CALLS = (
    Property(
        name="table of scores",
        statement="Scores are finite, one row an example and one column a target.",
        cases=_ANY,
        check=_returns_a_table,
    ),
    Property(
        name="determinism",
        statement="The same experiment seed gives the same numbers, to 12 digits.",
        cases=_RANDOM | trained_networks(),
        check=_is_deterministic,
    ),
    Property(
        name="fresh seeds",
        statement="Another experiment seed draws other trainings.",
        cases=_RANDOM,
        check=_draws_fresh_seeds,
    ),
    Property(
        name="inputs kept",
        statement="The point is as before the call.",
        cases=_ANY,
        check=_keeps_its_inputs,
    ),
)

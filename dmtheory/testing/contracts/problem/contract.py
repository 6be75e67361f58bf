"""The contract of problems: randomised training maps with their outputs."""

from typing import Any

from dmtheory.problems.base import Problem
from dmtheory.testing.contracts.problem.calls import CALLS
from dmtheory.testing.contracts.problem.examples import EXAMPLES
from dmtheory.testing.contracts.problem.parameters import PARAMETERS
from dmtheory.testing.contracts.problem.refusals import REFUSALS
from dmtheory.testing.contracts.problem.response import RESPONSE
from dmtheory.testing.declaring import declared_as
from dmtheory.testing.profiles import Profile
from dmtheory.testing.running import run_contract
from dmtheory.testing.table import ContractTable

PROBLEM = (
    *CALLS,
    *RESPONSE,
    *EXAMPLES,
    *PARAMETERS,
    *REFUSALS,
)


def check_problem(
    problem: Problem, *, profile: Profile | None = None, **promises: Any
) -> ContractTable:
    """Try everything that a problem owes to the estimators of this package.

    Every case trains a few models, so take a small instance of a problem.

    Args:
        problem: The problem; with `data`, more can be tried, and more yet where it is
            a `DifferentiableProblem`.
        profile: How hard to try; by default as Hypothesis is set.
        **promises: Fields of `Declared`: `not_promised`, `tolerance`.

    Returns:
        A table of what holds and what does not, with the smallest counterexamples.
    """
    return run_contract(PROBLEM, declared_as("problem", problem, promises), profile)

"""Which solver to take when none is named."""

from dmtheory.influence.at_models.budget import Budget
from dmtheory.influence.curvature.base import (
    CurvatureOperator,
    Diagonalised,
    LowRank,
)
from dmtheory.influence.solvers.base import Solver
from dmtheory.influence.solvers.conjugate_gradients import ConjugateGradients
from dmtheory.influence.solvers.dense import Dense
from dmtheory.influence.solvers.diagonalised import InEigenbasis
from dmtheory.influence.solvers.woodbury import Woodbury

# Parameters up to which a matrix costs nothing.
_SMALL = 512
# The matrix, its factor and a copy.
_MATRICES = 3


def chosen_solver(
    operator: CurvatureOperator, damping: float, budget: Budget
) -> Solver:
    """Return the cheapest solver that reaches rounding, or else a stated tolerance.

    The operator's own eigenbasis; a small matrix; Woodbury where examples times outputs
    are fewer than half the parameters; a matrix that fits the budget; else conjugate
    gradients to 1e-8.
    """
    n_params = len(operator.params)
    if isinstance(operator, Diagonalised):
        return InEigenbasis()
    if n_params <= _SMALL:
        return Dense()
    if _on_the_side_of_examples(operator, damping, budget):
        return Woodbury()
    if budget.fits(_MATRICES * n_params**2):
        return Dense()
    return ConjugateGradients()


def _on_the_side_of_examples(
    operator: CurvatureOperator, damping: float, budget: Budget
) -> bool:
    if not isinstance(operator, LowRank) or 2 * operator.rank > len(operator.params):
        return False
    diagonal = operator.regulariser.diagonal
    if diagonal is None or bool((diagonal + damping <= 0).any()):
        return False
    return budget.fits(2 * operator.rank * (len(operator.params) + operator.rank))

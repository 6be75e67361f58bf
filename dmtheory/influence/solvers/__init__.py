"""Solvers of (C + damping I) X = B: each says how well, none fails in silence."""

from dmtheory.influence.solvers.base import Damped, Solution, Solver, solve
from dmtheory.influence.solvers.choice import chosen_solver
from dmtheory.influence.solvers.conjugate_gradients import ConjugateGradients
from dmtheory.influence.solvers.dense import Dense, Eigendecomposition
from dmtheory.influence.solvers.diagonalised import InEigenbasis
from dmtheory.influence.solvers.lanczos import Lanczos
from dmtheory.influence.solvers.lissa import Lissa
from dmtheory.influence.solvers.nystroem import Nystroem
from dmtheory.influence.solvers.preconditioners import Diagonal
from dmtheory.influence.solvers.woodbury import Woodbury

__all__ = [
    "ConjugateGradients",
    "Damped",
    "Dense",
    "Diagonal",
    "Eigendecomposition",
    "InEigenbasis",
    "Lanczos",
    "Lissa",
    "Nystroem",
    "Solution",
    "Solver",
    "Woodbury",
    "chosen_solver",
    "solve",
]

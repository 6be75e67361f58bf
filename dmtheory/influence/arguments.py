"""Checks of what influence is asked with, before anything is trained."""

import math
from typing import Any

from dmtheory.influence.curvature import Curvature
from dmtheory.influence.solvers import Solver

_PARTS = (
    "description",
    "fit",
    "predictions",
    "prediction_losses",
    "target_outputs",
    "penalty",
)


def check_differentiable(problem: Any) -> None:
    """Raise TypeError unless losses and outputs are functions of parameters."""
    missing = [part for part in _PARTS if not hasattr(problem, part)]
    if missing:
        raise TypeError(
            f"problem must have {', '.join(_PARTS[1:])} to be differentiated at a "
            f"model, but {_called(problem)} has no {missing[0]}: write them "
            "(`DifferentiableProblem`), or estimate dF/dw by FiniteDifference()"
        )


def check_damping(damping: Any) -> None:
    """Raise unless damping is a finite number >= 0.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is out of range.
    """
    if not isinstance(damping, int | float):
        raise TypeError(f"damping must be a number >= 0, got {_called(damping)}")
    if not 0 <= damping < math.inf:
        raise ValueError(f"damping must be finite and >= 0, got {damping}")


def check_curvature(curvature: Any) -> None:
    """Raise TypeError unless it is a rule of curvature."""
    _check_strategy(curvature, Curvature, "curvature", "GaussNewton()")


def check_solver(solver: Any) -> None:
    """Raise TypeError unless it is a solver or None."""
    if solver is not None:
        _check_strategy(solver, Solver, "solver", "ConjugateGradients()")


def check_rule(rule: Any, kind: type) -> None:
    """Raise TypeError unless it is a rule for removals."""
    _check_strategy(rule, kind, "rule", "NewtonStep()")


def _check_strategy(value: Any, kind: type, name: str, example: str) -> None:
    # A class has the methods of its instances.
    if isinstance(value, type) or not isinstance(value, kind):
        raise TypeError(
            f"{name} must be an object like {example}, got {_called(value)}"
        )


def _called(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return (
        repr(value)
        if isinstance(value, str)
        else f"an object of {type(value).__name__}"
    )

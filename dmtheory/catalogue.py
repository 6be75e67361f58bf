"""Problems by name: ready ones on real data, and one's own."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from dmtheory.checks import check_choice
from dmtheory.data.digits import digits
from dmtheory.data.tables import breast_cancer, diabetes
from dmtheory.problems.base import DifferentiableProblem, Problem
from dmtheory.problems.linear import LeastSquares
from dmtheory.problems.logistic import LogisticRegression
from dmtheory.problems.network import Network
from dmtheory.training.modules import MLP
from dmtheory.training.procedures import SGD
from dmtheory.weighting import Normalisation


def _digits_network(normalisation: Normalisation) -> DifferentiableProblem:
    """Tanh network 64-16-10 on 300 handwritten digits, 30 targets."""
    return Network(
        make_module=MLP((64, 16, 10)),
        data=digits(),
        training=SGD(learning_rate=0.15, weight_decay=1e-2),
        normalisation=normalisation,
    )


def _breast_cancer(normalisation: Normalisation) -> DifferentiableProblem:
    """Logistic regression on 400 breast cancer records, 20 patients as targets."""
    return LogisticRegression(
        data=breast_cancer(), ridge=3e-2, normalisation=normalisation
    )


def _diabetes(normalisation: Normalisation) -> DifferentiableProblem:
    """Ridge regression on 350 diabetes records, 20 patients as targets."""
    return LeastSquares(data=diabetes(), ridge=1e-2, normalisation=normalisation)


PROBLEMS: dict[str, Callable[[Normalisation], DifferentiableProblem]] = {
    "digits-network": _digits_network,
    "breast-cancer-logistic": _breast_cancer,
    "diabetes-ridge": _diabetes,
}


def ready_problem(name: str, normalisation: Normalisation = "sum") -> Problem:
    """Return a ready problem by name, or one's own as FILE.py:NAME or MODULE:NAME.

    Args:
        name: A name of `PROBLEMS`, or where to find a problem (or a function without
            arguments that returns one).
        normalisation: "sum" or "count", of a ready problem; one's own has its own.

    Returns:
        The problem.

    Raises:
        ValueError: If there is no such problem.
    """
    if ":" not in name:
        check_choice(name, tuple(PROBLEMS), "problem")
        return PROBLEMS[name](normalisation)
    place, _, attribute = name.rpartition(":")
    try:
        found: Any = getattr(_module(place), attribute)
    except (ImportError, OSError, AttributeError) as error:
        raise ValueError(
            f"problem must be FILE.py:NAME or MODULE:NAME: {error}"
        ) from None
    if not isinstance(found, Problem) and callable(found):
        found = found()
    if not isinstance(found, Problem):
        raise ValueError(
            f"problem {name} must have `description` and `respond`, got "
            f"{type(found).__name__}"
        )
    return found


def _module(place: str) -> ModuleType:
    """Import a module by name, or from a file so that other processes can too."""
    path = Path(place)
    if path.suffix != ".py":
        return import_module(place)
    if not path.is_file():
        raise FileNotFoundError(f"no file {place}")
    # Worker processes import by name, so the file's folder has to be on their path.
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return import_module(path.stem)

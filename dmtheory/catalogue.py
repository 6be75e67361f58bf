"""Ready problems on real data, by name."""

from collections.abc import Callable

from dmtheory.checks import check_choice
from dmtheory.data.digits import digits
from dmtheory.data.tables import breast_cancer, diabetes
from dmtheory.problems.base import DifferentiableProblem, Normalisation
from dmtheory.problems.linear import LeastSquares
from dmtheory.problems.logistic import LogisticRegression
from dmtheory.problems.network import MLP, SGD, Network


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


def ready_problem(
    name: str, normalisation: Normalisation = "sum"
) -> DifferentiableProblem:
    """Return a ready problem by name."""
    check_choice(name, tuple(PROBLEMS), "problem")
    return PROBLEMS[name](normalisation)

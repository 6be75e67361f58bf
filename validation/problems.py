"""The problems of the small suite, and what is spent on each."""

from dataclasses import replace
from functools import partial

import torch

from dmtheory.data.dataset import Dataset
from dmtheory.data.digits import digits
from dmtheory.data.tables import breast_cancer, diabetes
from dmtheory.designs.seeds import Purpose, uniforms
from dmtheory.influence.curvature import GaussNewton
from dmtheory.problems.base import Normalisation, Problem
from dmtheory.problems.linear import LeastSquares
from dmtheory.problems.logistic import LogisticRegression
from dmtheory.problems.network import MLP, SGD, Network
from dmtheory.problems.set_functions import SampleMean, SetFunction
from validation.laboratory import Setting

SMOOTH = SGD(epochs=20, batch_size=50, learning_rate=0.15, weight_decay=1e-2)


def tiny_table(n_train: int) -> Dataset:
    """Return a few diabetes records with three features: small enough to enumerate."""
    data = diabetes(n_train=n_train, n_targets=4)
    columns = [2, 8, 10]  # body mass index, a serum measurement, the intercept
    return replace(
        data,
        name="tiny",
        x_train=data.x_train[:, columns],
        x_target=data.x_target[:, columns],
        x_held_out=data.x_held_out[:, columns],
        feature_names=tuple(data.feature_names[c] for c in columns),
    )


def random_set_functions() -> SetFunction:
    """Return five set functions of ten players with uniform random values."""
    rows, columns = torch.arange(5), torch.arange(2**10)
    return SetFunction(values=uniforms(0, Purpose.DATA, rows, columns).T)


def twelve_values() -> SampleMean:
    """Return the sample mean of twelve uniform random values."""
    return SampleMean(
        values=uniforms(1, Purpose.DATA, torch.arange(1), torch.arange(12))[0]
    )


def _ridge(n_train: int, ridge: float, normalisation: Normalisation) -> LeastSquares:
    return LeastSquares(
        data=tiny_table(n_train), ridge=ridge, normalisation=normalisation
    )


def _diabetes(normalisation: Normalisation, n_train: int = 352) -> LeastSquares:
    data = diabetes(n_train=n_train)
    return LeastSquares(data=data, ridge=1e-2, normalisation=normalisation)


def _breast_cancer(
    normalisation: Normalisation, n_train: int = 400
) -> LogisticRegression:
    data = breast_cancer(n_train=n_train)
    return LogisticRegression(data=data, ridge=3e-2, normalisation=normalisation)


def _digits(normalisation: Normalisation) -> Network:
    return Network(
        make_module=MLP((64, 16, 10)),
        data=digits(),
        training=SMOOTH,
        normalisation=normalisation,
    )


_CONVEX = {"n_models": 6000, "n_averaged": 96, "n_units": 40}
_NEURAL = {
    "n_models": 2400,
    "paired": True,
    "n_coordinates": 60,
    "n_averaged": 100,
    "n_seeds": 12,
    "n_units": 28,
    "step": 0.1,
    "curvature": GaussNewton(),
    "damping": 0.03,
    "influence_models": 6,
    "accuracy_floor": (0.90, 0.80),
}
_DIGITS = (
    "A tanh network 64-16-10 on 300 handwritten digits, trained by momentum SGD for 20 "
    "epochs; which digits shape the margin of a held-out one?"
)
_PATIENTS = (
    "Logistic regression on 400 breast cancer records; which patients' records shape "
    "this diagnosis?"
)
_PROGRESSION = (
    "Ridge regression on 352 diabetes records; which patients' records shape this "
    "predicted progression?"
)

SMALL: dict[str, Setting] = {
    "random-functions": Setting(
        make=random_set_functions,
        summary="Five random functions of the subsets of ten players.",
    ),
    "sample-mean": Setting(
        make=twelve_values,
        summary="The mean of twelve numbers: the smallest scale-free training.",
    ),
    "tiny-ridge-sum": Setting(
        make=partial(_ridge, 8, 0.3, "sum"),
        summary="Ridge regression on eight diabetes records, every subset enumerated.",
    ),
    "tiny-ridge-count": Setting(
        make=partial(_ridge, 8, 0.3, "count"),
        summary="The same, each subset's loss divided by N instead of its size.",
    ),
    "tiny-least-squares": Setting(
        make=partial(_ridge, 12, 0.0, "sum"),
        summary="Least squares without penalty on twelve diabetes records.",
    ),
    "breast-cancer-sum": Setting(
        make=partial(_breast_cancer, "sum"), summary=_PATIENTS, **_CONVEX
    ),
    "breast-cancer-count": Setting(
        make=partial(_breast_cancer, "count"), summary=_PATIENTS, **_CONVEX
    ),
    "diabetes-sum": Setting(
        make=partial(_diabetes, "sum"), summary=_PROGRESSION, **_CONVEX
    ),
    "diabetes-count": Setting(
        make=partial(_diabetes, "count"), summary=_PROGRESSION, **_CONVEX
    ),
    "digits-sum": Setting(make=partial(_digits, "sum"), summary=_DIGITS, **_NEURAL),
    "digits-count": Setting(
        make=partial(_digits, "count"), summary=_DIGITS, **_NEURAL
    ),
}


def resized(name: str, n_train: int) -> Problem:
    """Return a convex problem of the suite with fewer training records, nested."""
    make = {"breast-cancer-sum": _breast_cancer, "diabetes-sum": _diabetes}[name]
    return make("sum", n_train)

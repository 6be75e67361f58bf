"""The problems of the small suite, and what is spent on each."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from dmtheory.data.copies import Copies, PlantedCopies, plant_copies
from dmtheory.data.dataset import Dataset
from dmtheory.data.digits import digits
from dmtheory.data.hidden_groups import PlantedGroups, plant_groups
from dmtheory.data.tables import breast_cancer, diabetes
from dmtheory.derivatives.averages.averaged import AveragedDerivative
from dmtheory.derivatives.averages.subset_average import OwnWeight
from dmtheory.derivatives.differences.finite_difference import FiniteDifference
from dmtheory.derivatives.through_training.pathwise import Pathwise
from dmtheory.designs.seeds import Purpose, uniforms
from dmtheory.influence.curvature import GaussNewton
from dmtheory.problems.base import Problem
from dmtheory.problems.linear import LeastSquares
from dmtheory.problems.logistic import LogisticRegression
from dmtheory.problems.network import Network
from dmtheory.problems.set_functions import (
    SampleMean,
    SetFunction,
    and_of_examples,
    nearest_neighbour,
    or_of_duplicates,
    side_by_side,
)
from dmtheory.training.modules import MLP
from dmtheory.training.procedures import SGD
from dmtheory.weighting import Normalisation
from validation.laboratory import Setting
from validation.made_up.noisy_sum import NoisySum

SMOOTH = SGD(epochs=20, batch_size=50, learning_rate=0.15, weight_decay=1e-2)
# Fewer effective parameters: a table of 300 records bears fewer than images do.
SMOOTH_TABLE = SGD(epochs=20, batch_size=50, learning_rate=0.1, weight_decay=3e-2)


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


# Copies of an example, and the labels of a target's neighbours, nearest first, of which
# the first k are such copies, with the label 1.
COPIES = (1, 2, 3, 4)
NEIGHBOURS = (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0)


def copies() -> SetFunction:
    """Return functions of eight examples of which the first k are copies.

    Targets: whether any copy is there, whether all are, and what the nearest neighbour
    rule says next to them, for each k.
    """
    n_train = len(NEIGHBOURS)
    distances = torch.arange(n_train, dtype=torch.float64)
    functions = [or_of_duplicates(n_train, k) for k in COPIES]
    functions += [and_of_examples(n_train, k) for k in COPIES]
    for k in COPIES:
        labels = torch.tensor((1.0,) * k + NEIGHBOURS[k:], dtype=torch.float64)
        # Copies are at one distance.
        functions.append(nearest_neighbour(distances.clamp(min=k - 1), labels))
    return side_by_side(functions)


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


def _tiny(make: Callable[[], Problem], summary: str) -> Setting:
    return Setting(make=make, summary=summary)


def _convex(make: Callable[[], Problem], summary: str, n_models: int) -> Setting:
    return Setting(
        make=make,
        summary=summary,
        n_models=n_models,
        n_averaged=96,
        averaged_by=FiniteDifference(step=0.05, n_seeds=24),
    )


def _neural(make: Callable[[], Problem], summary: str) -> Setting:
    return Setting(
        make=make,
        summary=summary,
        n_models=4000,
        paired=True,
        n_coordinates=60,
        n_averaged=60,
        n_seeds=20,
        averaged_by=FiniteDifference(step=0.05, n_seeds=43),
        step=0.1,
        curvature=GaussNewton(),
        damping=0.03,
        influence_models=6,
        accuracy_floor=(0.90, 0.80),
        n_evaluation=1200,
    )


SMALL: dict[str, Setting] = {
    "random-functions": _tiny(
        random_set_functions, "Five random functions of the subsets of ten players."
    ),
    "copies": _tiny(
        copies,
        "Eight examples of which k are copies of one: one is enough, all are "
        "needed, or the nearest decides.",
    ),
    "sample-mean": _tiny(
        twelve_values, "The mean of twelve numbers: the smallest scale-free training."
    ),
    "tiny-ridge-sum": _tiny(
        partial(_ridge, 8, 0.3, "sum"),
        "Ridge regression on eight diabetes records, every subset enumerated.",
    ),
    "tiny-ridge-count": _tiny(
        partial(_ridge, 8, 0.3, "count"),
        "The same, each subset's loss divided by N instead of its size.",
    ),
    "tiny-least-squares": _tiny(
        partial(_ridge, 12, 0.0, "sum"),
        "Least squares without penalty on twelve diabetes records.",
    ),
    "breast-cancer-sum": _convex(partial(_breast_cancer, "sum"), _PATIENTS, 6000),
    "breast-cancer-count": _convex(partial(_breast_cancer, "count"), _PATIENTS, 6000),
    "diabetes-sum": _convex(partial(_diabetes, "sum"), _PROGRESSION, 12000),
    "diabetes-count": _convex(partial(_diabetes, "count"), _PROGRESSION, 12000),
    "digits-sum": _neural(partial(_digits, "sum"), _DIGITS),
    "digits-count": _neural(partial(_digits, "count"), _DIGITS),
}


def resized(name: str, n_train: int) -> Problem:
    """Return a problem of the suite with another number of training records, nested.

    Raises:
        ValueError: If the problem has no such family.
    """
    if name == "breast-cancer-sum":
        return _breast_cancer("sum", n_train)
    if name == "diabetes-sum":
        return _diabetes("sum", n_train)
    if name == "tiny-ridge-sum":
        return _ridge(n_train, 0.3, "sum")
    if name == "cancer-network-sum":
        return _cancer_network("sum", n_train)
    raise ValueError(
        f"name must be a problem of the suite that comes in sizes, got {name!r}"
    )


def _cancer_network(normalisation: Normalisation, n_train: int = 300) -> Network:
    """Return a tanh network on breast cancer records; as many steps for any N."""
    epochs = SMOOTH_TABLE.epochs * 300 // n_train
    return Network(
        make_module=MLP((31, 8, 2)),
        data=breast_cancer(n_train=n_train),
        training=replace(SMOOTH_TABLE, epochs=epochs),
        normalisation=normalisation,
    )


def _neural_table(make: Callable[[], Problem], summary: str) -> Setting:
    return replace(
        _neural(make, summary),
        n_models=2400,
        n_coordinates=100,
        # Some subsets move every record much: examples share none by this rule.
        n_averaged=150,
        averaged_by=AveragedDerivative(by=Pathwise(), rule=OwnWeight(), n_units=32),
        accuracy_floor=(0.95, 0.93),
    )


ROUGH = SGD(epochs=60, batch_size=50, learning_rate=0.3, weight_decay=1e-4)


def relu_network() -> nn.Sequential:
    """Return a network with kinks, for the regime where derivatives are rough."""
    return nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def _rough_digits(normalisation: Normalisation) -> Network:
    return Network(
        make_module=relu_network,
        data=digits(),
        training=ROUGH,
        normalisation=normalisation,
    )


def linear_classifier() -> nn.Linear:
    """Return a linear classifier of two classes, made to be convex to train."""
    return nn.Linear(31, 2, bias=False)


def _cancer_full_batch() -> Network:
    data = breast_cancer()
    steps = SGD(
        epochs=640,
        batch_size=data.n_train,
        learning_rate=0.1,
        weight_decay=3e-2,
        schedule="constant",
    )
    return Network(make_module=linear_classifier, data=data, training=steps)


def _digits_full_batch() -> Network:
    data = digits()
    steps = SGD(
        epochs=3000,
        batch_size=data.n_train,
        learning_rate=0.5,
        weight_decay=2e-2,
        schedule="constant",
    )
    return Network(make_module=MLP((64, 8, 10)), data=data, training=steps)


def _digits_targets(normalisation: Normalisation) -> Network:
    """Return the smooth digits with many targets, of which few are in doubt."""
    data = digits(n_targets=600)
    return replace(_digits(normalisation), data=data)


def leaked_digits() -> PlantedCopies:
    """Return digits with 1 to 4 copies of every target: exact ones, noisy ones."""
    noises = (0.0, 0.5, 0.0, 1.0)
    plan = [Copies(target=t, k=1 + t % 4, noise=noises[t // 4 % 4]) for t in range(30)]
    return plant_copies(digits(), plan)


def copied_digits() -> PlantedCopies:
    """Return digits with four exact copies of ten targets."""
    return plant_copies(digits(), [Copies(target=t, k=4) for t in range(0, 30, 3)])


def interpolated_digits() -> PlantedCopies:
    """Return few digits, odd or even, with four exact copies of ten targets."""
    data = digits(n_train=15)
    parity = {
        f"y_{split}": (getattr(data, f"y_{split}") % 2 * 2 - 1).double()
        for split in ("train", "target", "held_out")
    }
    data = replace(data, name="digit-parity", class_names=(), **parity)
    return plant_copies(data, [Copies(target=t, k=4) for t in range(0, 30, 3)])


def grouped_digits() -> PlantedGroups:
    """Return digits where the class 8 hides three groups, a corner marked in each."""
    marks = ((0, 8), (7, 15), (56, 48))
    return plant_groups(digits(), marks, label=8, members=15, targets=5)


def _smooth(data: Callable[[], PlantedCopies | PlantedGroups]) -> Network:
    return Network(make_module=MLP((64, 16, 10)), data=data().data, training=SMOOTH)


def _interpolating() -> LeastSquares:
    return LeastSquares(data=interpolated_digits().data)


_NETWORK_OF_PATIENTS = (
    "A tanh network 31-8-2 on 300 breast cancer records, trained by momentum SGD for "
    "20 epochs; which patients' records shape the margin of this diagnosis?"
)
_ROUGH_DIGITS = (
    "A ReLU network 64-16-10 on 300 handwritten digits, trained longer, faster and "
    "with less decay: the rough regime."
)

# Everything that the small suite has, and what its two minutes do not bear.
_ALL: dict[str, Setting] = {
    **SMALL,
    "cancer-full-batch": _tiny(
        _cancer_full_batch, "Logistic regression by full-batch momentum, to its end."
    ),
    "digits-full-batch": _tiny(
        _digits_full_batch, "A tanh network 64-8-10 by full-batch momentum, to its end."
    ),
    "digits-sum-targets": _tiny(
        partial(_digits_targets, "sum"), "The digits network and six hundred targets."
    ),
    "digits-count-targets": _tiny(
        partial(_digits_targets, "count"), "The same, each loss divided by N."
    ),
    "noisy-sum": _tiny(
        NoisySum, "A noisy sum of twenty weights, known in closed form."
    ),
    "few-records": _tiny(
        partial(_diabetes, "sum", 44), "Ridge regression on 44 diabetes records."
    ),
    "cancer-network-sum": _neural_table(
        partial(_cancer_network, "sum"), _NETWORK_OF_PATIENTS
    ),
    "cancer-network-count": _neural_table(
        partial(_cancer_network, "count"), _NETWORK_OF_PATIENTS
    ),
    "digits-rough-count": _neural(partial(_rough_digits, "count"), _ROUGH_DIGITS),
    "digits-leaked": _neural(
        partial(_smooth, leaked_digits),
        "The digits network, with copies of all targets among its examples.",
    ),
    "digits-copied": _neural(
        partial(_smooth, copied_digits),
        "The digits network, with four exact copies of ten targets.",
    ),
    "parity-interpolated": _tiny(
        _interpolating,
        "Least squares without penalty that fits every digit's parity, with copies.",
    ),
    "digits-grouped": _neural(
        partial(_smooth, grouped_digits),
        "The digits network, with three marked groups hidden in the class 8.",
    ),
}
# A choice of damping takes seconds, which the small suite spends otherwise: there
# influence is drawn beside datamodels, and no claim judges it.
THOROUGH: dict[str, Setting] = {
    name: replace(setting, n_pilot=200) if setting.damping > 0 else setting
    for name, setting in _ALL.items()
}

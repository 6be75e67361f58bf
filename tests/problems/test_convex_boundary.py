"""What the convex problems take and refuse: types, shapes, starts, classes."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from samples import dataset, no_seeds, normal, table, unchecked, weight_rows
from torch import Tensor

from dmtheory.data import Dataset
from dmtheory.problems import LeastSquares, LogisticRegression, SoftmaxRegression

SPLITS = ("train", "target", "held_out")
MAKERS = [
    (LeastSquares, 0),
    (LogisticRegression, 2),
    (SoftmaxRegression, 3),
]
each_problem = pytest.mark.parametrize(("make", "classes"), MAKERS)
each_classifier = pytest.mark.parametrize(("make", "classes"), MAKERS[1:])


def with_features(data: Dataset, change: Callable[[Tensor], Tensor]) -> Dataset:
    changed = {f"x_{split}": change(getattr(data, f"x_{split}")) for split in SPLITS}
    return replace(data, **changed)


@each_problem
@pytest.mark.parametrize("n_features", [3, 140])  # by factors, by gradients
@pytest.mark.parametrize("dtype", [torch.float32, torch.int16, torch.bool])
def test_features_of_any_real_type_are_computed_in_float64(
    make: Callable[..., Any], classes: int, n_features: int, dtype: torch.dtype
) -> None:
    drawn = table(20, n_features, classes=classes, seed=0)
    given = with_features(drawn, lambda x: (2 * x).to(dtype))
    exact = with_features(given, Tensor.double)
    weights = weight_rows(3, 20, seed=1)
    outputs, quality = make(data=given, ridge=0.1).measure(weights, no_seeds(3))
    expected, same = make(data=exact, ridge=0.1).measure(weights, no_seeds(3))
    assert torch.equal(outputs, expected)
    assert torch.equal(quality.loss, same.loss)


@each_problem
@pytest.mark.parametrize("n_features", [3, 140])
def test_weights_and_parameters_of_single_precision_are_taken(
    make: Callable[..., Any], classes: int, n_features: int
) -> None:
    problem = make(data=table(20, n_features, classes=classes, seed=0), ridge=0.1)
    weights = weight_rows(3, 20, seed=1).float()
    found = problem.respond(weights, no_seeds(3))
    assert torch.equal(found, problem.respond(weights.double(), no_seeds(3)))
    theta = problem.fit(weights, no_seeds(3)).params.float()
    quality = problem.quality(theta).loss
    assert torch.equal(quality, problem.quality(theta.double()).loss)
    outputs = problem.target_outputs(theta[0])
    assert torch.equal(outputs, problem.target_outputs(theta[0].double()))


@each_problem
def test_a_copy_sent_elsewhere_may_first_be_called_inside_of_a_transform(
    make: Callable[..., Any], classes: int
) -> None:
    drawn = table(20, 3, classes=classes, seed=0)
    problem = make(data=with_features(drawn, Tensor.float), ridge=0.1)
    sent = pickle.loads(pickle.dumps(problem))
    theta = normal(3 * max(1, classes if classes > 2 else 1), seed=1)

    def total(params: Tensor) -> Tensor:
        return sent.prediction_losses(sent.predictions(params)).sum()

    torch.func.grad(total)(theta)
    # What a transform made would still belong to it.
    assert torch.equal(sent.target_outputs(theta), problem.target_outputs(theta))


@each_problem
def test_images_and_complex_numbers_are_refused(
    make: Callable[..., Any], classes: int
) -> None:
    data = table(20, 4, classes=classes, seed=0)
    images = with_features(data, lambda x: x.unflatten(1, (2, 2)))
    with pytest.raises(ValueError, match=r"got features of shape \(2, 2\): flatten"):
        make(data=images, ridge=0.1)
    none = with_features(data, lambda x: x[:, :0])
    with pytest.raises(ValueError, match=r"got features of shape \(0,\)"):
        make(data=none, ridge=0.1)
    waves = with_features(data, lambda x: x.to(torch.complex128))
    with pytest.raises(ValueError, match=r"data must be real, got x_train of torch.c"):
        make(data=waves, ridge=0.1)


@each_problem
def test_no_models_are_refused(make: Callable[..., Any], classes: int) -> None:
    problem = make(data=table(20, 4, classes=classes, seed=0), ridge=0.1)
    with pytest.raises(ValueError, match=r"weights must have at least one row.*\(0, 2"):
        problem.respond(torch.ones(0, 20).double(), no_seeds(0))


@each_classifier
def test_a_start_that_is_none_is_refused(
    make: Callable[..., Any], classes: int
) -> None:
    problem = make(data=table(20, 4, classes=classes, seed=0), ridge=0.1)
    weights, n = weight_rows(3, 20, seed=1), 4 if classes == 2 else 12
    nowhere = torch.zeros(3, n).double()
    nowhere[1, 2] = torch.nan
    shape = rf"start must have shape \(1, {n}\) for all models or \(3, {n}\) for each"
    bad = [
        (torch.zeros(2, n).double(), shape),
        (torch.zeros(3, n + 1).double(), shape),
        (torch.zeros(n).double(), shape),
        (torch.zeros(3, n).long(), "start must be real, got torch.int64"),
        (nowhere, r"start must be finite, got nan at index \(1, 2\)"),
    ]
    for start, message in bad:
        with unchecked(), pytest.raises(ValueError, match=message):
            problem.fit(weights, no_seeds(3), start=start)


@each_classifier
def test_held_out_classes_that_training_lacks_are_refused(
    make: Callable[..., Any], classes: int
) -> None:
    data = table(20, 4, classes=classes, seed=0)
    strange = replace(data, y_held_out=torch.tensor([0, 1, classes, 1, 0]))
    with pytest.raises(
        ValueError, match=rf"data must have .*classes.*, got .*{classes}"
    ):
        make(data=strange, ridge=0.1)


def test_rows_held_out_change_no_model() -> None:
    data = table(20, 4, classes=3, seed=0)
    weights = weight_rows(3, 20, seed=1)
    whole = SoftmaxRegression(data=data, ridge=0.1)
    rows = (data.y_held_out < 2).nonzero().flatten()
    kept = {"x_held_out": data.x_held_out[rows], "y_held_out": data.y_held_out[rows]}
    fewer = SoftmaxRegression(data=replace(data, **kept), ridge=0.1)
    assert torch.equal(
        whole.respond(weights, no_seeds(3)), fewer.respond(weights, no_seeds(3))
    )


def test_classes_that_are_given_as_real_numbers_are_classes() -> None:
    x = normal(30, 3, seed=0)
    y = (x[:, 0] > 0).double()
    weights = weight_rows(3, 20, seed=1)
    pair = [dataset(x, kind, n_train=20, n_targets=4) for kind in (y, y.long())]
    real, whole = (LogisticRegression(data=data, ridge=0.1) for data in pair)
    found, quality = real.measure(weights, no_seeds(3))
    expected, same = whole.measure(weights, no_seeds(3))
    assert torch.equal(found, expected)
    assert torch.equal(quality.loss, same.loss)

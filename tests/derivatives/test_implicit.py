"""The implicit derivative against closed forms, retraining and a trained network."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from richardson import quotients, worst_gap
from samples import a_description, no_seeds, normal, table, unchecked, weight_rows
from torch import Tensor

from dmtheory import response_derivative
from dmtheory.derivatives.implicit import Implicit
from dmtheory.derivatives.through_training.pathwise import Pathwise
from dmtheory.designs import Bernoulli
from dmtheory.influence.classical import weight_derivatives
from dmtheory.problems import (
    BlackBox,
    LeastSquares,
    LogisticRegression,
    Network,
    SoftmaxRegression,
)
from dmtheory.training import MLP, SGD, SquaredError

N = 14
WEIGHTS = weight_rows(1, N, seed=4)[0] + 0.3
each_normalisation = pytest.mark.parametrize("normalisation", ["sum", "count"])


def closed_form(problem: LeastSquares, at: Tensor) -> Tensor:
    """Differentiate the normal equations' solution, written out here."""
    x, y = problem.data.x_train, problem.data.y_train

    def outputs(w: Tensor) -> Tensor:
        divisor = w.sum() if problem.normalisation == "sum" else len(y)
        penalty = problem.ridge * torch.eye(x.shape[1]).double()
        moment = x.T @ (w * y) / divisor
        theta = torch.linalg.solve(x.T @ (w[:, None] * x) / divisor + penalty, moment)
        predictions = problem.data.x_target @ theta
        if problem.output == "prediction":
            return predictions
        return 0.5 * (predictions - problem.data.y_target) ** 2

    return torch.func.jacrev(outputs)(at).T


@each_normalisation
@pytest.mark.parametrize("ridge", [0.2, 0.0])
@pytest.mark.parametrize("output", ["prediction", "squared-error"])
def test_least_squares_have_their_closed_form(
    normalisation: Any, ridge: float, output: str
) -> None:
    problem = LeastSquares(
        data=table(N, 3, seed=0),
        ridge=ridge,
        normalisation=normalisation,
        output=output,
    )
    rows = torch.stack([WEIGHTS, (WEIGHTS > 0.5).double(), torch.ones(N).double()])
    found = Implicit().at_models(problem, rows, no_seeds(3))
    for k in range(3):
        truth = closed_form(problem, rows[k])
        torch.testing.assert_close(found[k], truth, rtol=1e-9, atol=1e-12)


def classifier(kind: type, normalisation: Any, **changes: Any) -> Any:
    classes = 2 if kind is LogisticRegression else 3
    data = table(N, 3, classes=classes, seed=1)
    given = {"ridge": 0.05, "tolerance": 1e-12, **changes}
    return kind(data=data, normalisation=normalisation, **given)


@each_normalisation
@pytest.mark.parametrize("kind", [LogisticRegression, SoftmaxRegression])
@pytest.mark.parametrize("output", ["margin", "loss"])
def test_classifiers_move_as_they_do_when_retrained(
    kind: type, normalisation: Any, output: str
) -> None:
    problem = classifier(kind, normalisation, output=output)
    truth = quotients(problem, WEIGHTS, 0, step=4e-2)
    found = response_derivative(problem, Implicit(), at=WEIGHTS)
    assert worst_gap(found.scores, truth) < 1e-6
    assert found.exact
    assert (found.n_models, found.seeds, found.units) == (1, frozenset(), None)
    assert found.estimand.quantity == "response derivative"


@pytest.mark.parametrize("kind", [LogisticRegression, SoftmaxRegression])
@each_normalisation
def test_two_ways_of_writing_the_same_derivative_agree(
    kind: type, normalisation: Any
) -> None:
    # Influence forms each example's gradient and its own formula for the divisor.
    problem = classifier(kind, normalisation)
    rows = weight_rows(5, N, seed=8)
    found = Implicit().at_models(problem, rows, no_seeds(5))
    tau = weight_derivatives(problem, rows, no_seeds(5))
    torch.testing.assert_close(found, tau, rtol=1e-8, atol=1e-11)


def test_a_linear_network_trained_to_its_end_has_it_too() -> None:
    data = table(N, 3, seed=2)
    training = SGD(
        epochs=150,
        batch_size=N,
        learning_rate=0.4,
        momentum=0.7,
        weight_decay=0.3,
        schedule="constant",
    )
    network = Network(
        make_module=MLP((3, 1)),
        data=data,
        training=training,
        loss=SquaredError(),
        output="prediction",
    )
    ones = torch.ones(N, 1).double()
    with_intercept = replace(
        data,
        x_train=torch.cat([data.x_train, ones], 1),
        x_target=torch.cat([data.x_target, ones[:4]], 1),
        x_held_out=torch.cat([data.x_held_out, ones[:5]], 1),
    )
    convex = LeastSquares(data=with_intercept, ridge=0.3)
    found = Pathwise().at_models(network, WEIGHTS[None], no_seeds(1))
    truth = Implicit().at_models(convex, WEIGHTS[None], no_seeds(1))
    torch.testing.assert_close(found, truth, rtol=1e-8, atol=1e-10)


def test_directions_and_coordinates_are_those_asked_for() -> None:
    problem = classifier(SoftmaxRegression, "sum")
    rows, ways = weight_rows(2, N, seed=8), normal(2, 3, N, seed=9)
    whole = Implicit().at_models(problem, rows, no_seeds(2))
    found = Implicit().at_models(problem, rows, no_seeds(2), ways)
    torch.testing.assert_close(found, ways @ whole)
    few = response_derivative(problem, Implicit(), at=rows[1], coordinates=[8, 2])
    torch.testing.assert_close(few.scores, whole[1, [8, 2]])
    assert few.train_labels == ("row 8", "row 2")
    # Scale-free: nothing moves along the weights themselves.
    along = torch.einsum("mi,mit->mt", rows, whole)
    assert along.abs().max() < 1e-13


def test_many_models_are_taken_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = classifier(LogisticRegression, "count")
    rows = weight_rows(5, N, seed=8)
    whole = Implicit().at_models(problem, rows, no_seeds(5))
    monkeypatch.setattr("dmtheory.derivatives.implicit._CHUNK_ENTRIES", 500)
    done: list[int] = []
    found = Implicit().at_models(problem, rows, no_seeds(5), progress=done.append)
    torch.testing.assert_close(found, whole, rtol=1e-12, atol=1e-15)
    assert len(done) > 1
    assert sum(done) == 5


def test_a_subset_law_is_averaged_by_the_trapezoid() -> None:
    law = Bernoulli(p=0.75, n_models=8, seed=3)
    problem = classifier(LogisticRegression, "count")
    found = response_derivative(problem, Implicit(n_subsets=8), at=law, seed=3)
    masks = law.weights(torch.arange(8), N)
    each = Implicit().at_models(problem, masks, no_seeds(8))
    ends = torch.where(masks > 0, 2 / 3, 2.0).double()
    torch.testing.assert_close(found.scores, (ends[..., None] * each).mean(0))
    assert found.n_models == 8
    assert found.estimand.point.kind == "average"


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (
            BlackBox(
                description=a_description(N, 1),
                train_and_measure=lambda w, s: w[:, :1],
            ),
            "problem must be convex and solved to its optimum",
        ),
        (
            Network(make_module=MLP((3, 3)), data=table(N, 3, classes=3, seed=1)),
            "got Network: use Pathwise",
        ),
        (
            classifier(LogisticRegression, "sum", ridge=1e-9, tolerance=1e-30),
            "training must converge for the implicit derivative",
        ),
        (
            LeastSquares(data=table(N, N + 3, seed=0), ridge=0.0),
            "positive definite Hessian for the implicit derivative",
        ),
    ],
)
def test_what_has_no_implicit_derivative_is_refused(problem: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        response_derivative(problem, Implicit())


def test_impossible_arguments_are_refused() -> None:
    problem = classifier(LogisticRegression, "sum")
    with pytest.raises(ValueError, match="must not be all zero under the normalisat"):
        Implicit().at_models(problem, torch.zeros(1, N).double(), no_seeds(1))
    with unchecked(), pytest.raises(ValueError, match="n_subsets must be at least 1"):
        Implicit(n_subsets=0)

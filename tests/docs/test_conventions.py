"""docs/conventions.md: what it names exists, and what it says of signs and units."""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from samples import a_description, no_seeds, normal, table
from sklearn import linear_model

import dmtheory
from dmtheory import (
    FiniteDifference,
    Lasso,
    Ridge,
    fit_datamodel,
    influence,
    leave_one_out,
    response_derivative,
)
from dmtheory.designs import Bernoulli
from dmtheory.problems import BlackBox, LeastSquares

TEXT = (Path(__file__).parents[2] / "docs" / "conventions.md").read_text("utf-8")
ROWS = [
    re.split(r" (?<!\\)\| ", line.strip("| "))
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith(("| symbol", "| ---"))
]
N = 12


def problem(normalisation: str = "sum", ridge: float = 0.3) -> LeastSquares:
    data = table(N, 3, n_targets=2, seed=3)
    return LeastSquares(data=data, ridge=ridge, normalisation=normalisation)


def found(path: str) -> Any:
    """Return what a dotted name stands for, importing modules on its way."""
    thing: Any = dmtheory
    names = path.split(".")[1:]
    for place, name in enumerate(names):
        if not hasattr(thing, name):
            importlib.import_module(".".join(["dmtheory", *names[: place + 1]]))
        thing = getattr(thing, name)
    return thing


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_a_row_names_is_in_the_code(row: list[str]) -> None:
    symbol, code, unit, said, defined = row
    assert symbol and unit and said
    path, argument = re.fullmatch(r"`([\w.]+)(?:\((\w+)\))?`", defined).groups()
    thing = found(path)
    if argument is not None:
        assert argument in inspect.signature(thing).parameters
    named = re.findall(r"`([\w -]+)`", code)
    assert named
    source = inspect.getsource(inspect.getmodule(thing) or thing)
    for name in named:
        # Of a result it is a field, of a function an argument or a word it uses.
        assert re.search(rf"\b{re.escape(name)}\b", source), (symbol, name)


def test_the_table_is_whole() -> None:
    assert len(ROWS) == 32
    assert all(len(row) == 5 for row in ROWS)


def test_positive_is_helpful_for_all_three() -> None:
    # With a constant for its feature the model is a mean: larger responses raise it.
    data = problem().data
    y = torch.linspace(-1, 1, N, dtype=torch.float64)
    ones = torch.ones(N, 1, dtype=torch.float64)
    one = dmtheory.data.Dataset(
        name="mean",
        x_train=ones,
        y_train=y,
        x_target=ones[:1],
        y_target=y[:1],
        x_held_out=ones[:1],
        y_held_out=y[:1],
        train_labels=data.train_labels,
        target_labels=data.target_labels[:1],
    )
    mean = LeastSquares(data=one)
    design = Bernoulli(p=0.5, n_models=100, seed=1)
    for attribution in (
        fit_datamodel(dmtheory.collect(mean, design)),
        response_derivative(mean),
        influence(mean),
        leave_one_out(mean),
    ):
        assert attribution.scores[-1, 0] > 0 > attribution.scores[0, 0]
        assert attribution.predict_removal()[-1, 0] < 0


def test_an_epsilon_is_the_share_of_a_whole_copy() -> None:
    one, eps = problem("count"), 1e-6
    scores = influence(one).in_unit("per_epsilon").scores
    # The objective gains eps l_i: of the mean over N that is a weight of N eps.
    weights = torch.ones(N + 1, N, dtype=torch.float64)
    weights[1:] += torch.eye(N, dtype=torch.float64) * N * eps
    outputs = one.respond(weights, no_seeds(N + 1))
    moved = (outputs[1:] - outputs[0]) / eps
    assert torch.allclose(moved, scores, rtol=1e-3, atol=1e-6)
    per_weight = response_derivative(one, FiniteDifference(step=1e-4))
    assert torch.allclose(N * per_weight.scores, scores, rtol=1e-5)


def test_sum_divides_by_all_weights_and_count_by_n() -> None:
    weights = torch.rand(
        4, N, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    x, y = problem().data.x_train, problem().data.y_train
    for normalisation, total in (("sum", weights.sum(1)), ("count", 4 * [N])):
        outputs = problem(normalisation).respond(weights, no_seeds(4))
        for w, divisor, output in zip(weights, total, outputs, strict=True):
            # (1/W) sum_j w_j (y_j - x_j' theta)^2 / 2 + ridge/2 |theta|^2.
            matrix = (x.T * w) @ x / divisor + 0.3 * torch.eye(3, dtype=torch.float64)
            theta = torch.linalg.solve(matrix, (x.T * w) @ y / divisor)
            assert torch.allclose(output, problem().data.x_target @ theta)


@pytest.mark.parametrize("at", [1.0, 0.5])
def test_a_step_is_in_weight_whatever_the_point(at: float) -> None:
    one = BlackBox(
        description=a_description(2, 1, deterministic=True),
        train_and_measure=lambda weights, seeds: weights.pow(3).sum(1)[:, None],
    )
    found = response_derivative(one, FiniteDifference(step=0.2, n_seeds=1), at=at)
    # Of a cube the central quotient is 3 c^2 + h^2.
    assert torch.allclose(
        found.scores, torch.full((2, 1), 3 * at**2 + 0.04, dtype=torch.float64)
    )


def test_damping_is_added_to_the_curvature_of_the_mean_loss() -> None:
    one, damping = problem("count"), 0.2
    x, y = one.data.x_train, one.data.y_train
    eye = torch.eye(3, dtype=torch.float64)
    hessian = x.T @ x / N + 0.3 * eye
    theta = torch.linalg.solve(hessian, x.T @ y / N)
    gradients = (x @ theta - y)[:, None] * x
    tau = -gradients @ torch.linalg.solve(hessian + damping * eye, one.data.x_target.T)
    found = influence(one, damping=damping).in_unit("per_epsilon")
    assert torch.allclose(found.scores, tau, rtol=1e-9)


@pytest.mark.parametrize(
    ("estimator", "peer"),
    [
        (Ridge(l2_penalties=(0.05,)), lambda m: linear_model.Ridge(alpha=m * 0.05)),
        (
            Lasso(l1_penalties=(0.05,)),
            lambda _: linear_model.Lasso(alpha=0.05 / 2, tol=1e-10),
        ),
    ],
    ids=["ridge", "lasso"],
)
def test_penalties_are_on_the_mean_squared_error_without_a_half(
    estimator: Any, peer: Any
) -> None:
    masks = normal(60, N, seed=7) > 0
    outputs = masks.double() @ normal(N, 2, seed=8) + normal(60, 2, seed=9)
    fitted = fit_datamodel(masks, outputs, design=Bernoulli(p=0.5), estimator=estimator)
    other = peer(60).fit(masks.numpy(), outputs.numpy())
    expected = torch.from_numpy(other.coef_.T.copy())
    assert torch.allclose(fitted.scores, expected, atol=1e-5)
    assert torch.allclose(
        fitted.intercept, torch.from_numpy(other.intercept_), atol=1e-5
    )

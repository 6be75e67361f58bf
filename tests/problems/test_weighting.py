"""What a weight means, for every convex problem: invariances of the training map."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import no_seeds, normal, table, weight_rows
from torch import Tensor

from dmtheory.data import Dataset
from dmtheory.problems import (
    LeastSquares,
    LogisticRegression,
    SampleMean,
    SoftmaxRegression,
)

N_TRAIN = 14
NUMBERS = table(N_TRAIN, 3, seed=0)
CLASSES = table(N_TRAIN, 3, classes=2, seed=4)
Make = Callable[..., Any]


def least_squares(data: Dataset = NUMBERS, **settings: Any) -> LeastSquares:
    return LeastSquares(data=data, **{"ridge": 0.2, **settings})


def logistic(data: Dataset = CLASSES, **settings: Any) -> LogisticRegression:
    return LogisticRegression(data=data, **{"ridge": 0.05, **settings})


def softmax(data: Dataset = CLASSES, **settings: Any) -> SoftmaxRegression:
    return SoftmaxRegression(data=data, **{"ridge": 0.05, **settings})


each_problem = pytest.mark.parametrize("make", [least_squares, logistic, softmax])
each_normalisation = pytest.mark.parametrize("normalisation", ["sum", "count"])


def with_rows(problem: Any, rows: Tensor) -> Any:
    """Return the problem on other training rows, under the same objective.

    Under `count` the data term is divided by N, so where N changes the penalty of the
    same minimiser changes by the inverse factor.
    """
    data = replace(
        problem.data,
        x_train=problem.data.x_train[rows],
        y_train=problem.data.y_train[rows],
        train_labels=tuple(f"copy {i}" for i in range(len(rows))),
    )
    same = problem.normalisation == "sum"
    factor = 1.0 if same else problem.data.n_train / len(rows)
    return replace(problem, data=data, ridge=problem.ridge * factor)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


@each_problem
@each_normalisation
def test_weight_zero_is_removal(make: Make, normalisation: str) -> None:
    problem = make(normalisation=normalisation)
    weights = weight_rows(1, N_TRAIN, seed=1)
    rows = weights[0].nonzero().flatten()
    assert len(rows) < N_TRAIN
    close(
        problem.respond(weights, no_seeds(1)),
        with_rows(problem, rows).respond(weights[:, rows], no_seeds(1)),
    )


@each_problem
@each_normalisation
def test_a_whole_weight_is_that_many_copies(make: Make, normalisation: str) -> None:
    problem = make(normalisation=normalisation)
    counts = torch.arange(N_TRAIN) % 4
    rows = torch.arange(N_TRAIN).repeat_interleave(counts)
    copies = with_rows(problem, rows)
    close(
        problem.respond(counts[None].double(), no_seeds(1)),
        copies.respond(torch.ones(1, len(rows)).double(), no_seeds(1)),
    )


@each_problem
@each_normalisation
def test_permuting_examples_with_their_weights_changes_nothing(
    make: Make, normalisation: str
) -> None:
    problem = make(normalisation=normalisation)
    weights = weight_rows(5, N_TRAIN, seed=2)
    order = torch.tensor([(5 * i + 3) % N_TRAIN for i in range(N_TRAIN)])
    assert sorted(order.tolist()) == list(range(N_TRAIN))
    close(
        with_rows(problem, order).respond(weights[:, order], no_seeds(5)),
        problem.respond(weights, no_seeds(5)),
    )


@each_problem
@each_normalisation
def test_a_models_bits_depend_on_no_other_model_in_its_batch(
    make: Make, normalisation: str
) -> None:
    problem = make(normalisation=normalisation)
    weights = weight_rows(9, N_TRAIN, seed=3)
    together = problem.respond(weights, no_seeds(9))
    alone = [problem.respond(w[None], no_seeds(1)) for w in weights]
    assert torch.equal(torch.cat(alone), together)


@each_problem
@given(factor=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_sum_is_scale_free_and_count_rescales_the_penalty(
    make: Make, factor: float, seed: int
) -> None:
    # Theory 2.8: F(cw) = F(w); under count F(cw; ridge) = F(w; ridge/c).
    weights = weight_rows(3, N_TRAIN, seed=seed)
    problem = make(normalisation="sum")
    here = problem.respond(weights, no_seeds(3))
    close(problem.respond(factor * weights, no_seeds(3)), here, 1e-7)
    counted = make(normalisation="count")
    divided = make(normalisation="count", ridge=counted.ridge / factor)
    close(
        counted.respond(factor * weights, no_seeds(3)),
        divided.respond(weights, no_seeds(3)),
        1e-7,
    )


def test_count_is_not_scale_free() -> None:
    weights = torch.ones(1, N_TRAIN).double()
    for make in (least_squares, logistic):
        problem = make(normalisation="count")
        gap = problem.respond(weights / 2, no_seeds(1)) - problem.respond(
            weights, no_seeds(1)
        )
        assert gap.abs().max() > 0.01


@given(factor=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_the_sample_mean_is_the_weighted_mean_and_scale_free(
    factor: float, seed: int
) -> None:
    problem = SampleMean(values=normal(6, seed=7))
    weights = weight_rows(4, 6, seed=seed)
    weights[0, 0] = 1.0
    expected = [
        sum(w * y for w, y in zip(row, problem.values.tolist(), strict=True)) / sum(row)
        for row in weights.tolist()
        if sum(row) > 0
    ]
    found = problem.respond(factor * weights, no_seeds(4)).flatten()
    kept = weights.sum(1) > 0
    close(found[kept], torch.tensor(expected, dtype=torch.float64), 1e-12)


def test_the_sample_mean_of_nothing_is_the_grand_mean() -> None:
    problem = SampleMean(values=torch.tensor([1.0, 2.0, 6.0]).double())
    assert problem.respond(torch.zeros(1, 3).double(), no_seeds(1)).tolist() == [[3.0]]


def test_sum_and_count_are_one_procedure_at_weights_of_one() -> None:
    weights = torch.ones(1, N_TRAIN).double()
    for make in (least_squares, logistic):
        one, other = make(normalisation="sum"), make(normalisation="count")
        close(one.respond(weights, no_seeds(1)), other.respond(weights, no_seeds(1)))

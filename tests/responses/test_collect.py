"""Collecting outputs: rows in order, whatever the block and the engine."""

import pytest
import torch
from samples import table
from torch import Tensor

from dmtheory import Responses, collect, process_pool
from dmtheory.designs import Bernoulli, ComplementaryPairs
from dmtheory.problems import BlackBox, Description, LogisticRegression

DESCRIPTION = Description(
    name="made-up",
    digest="made-up",
    output="sum",
    normalisation="count",
    step_policy="fixed",
    train_labels=("a", "b", "c"),
    target_labels=("x",),
)
DESIGN = ComplementaryPairs(n_pairs=10, seed=4)


def number_of_subset_and_seed(weights: Tensor, seeds: Tensor) -> Tensor:
    binary = weights @ torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    return (binary + 8 * (seeds % 1024))[:, None]


BOX = BlackBox(description=DESCRIPTION, train_and_measure=number_of_subset_and_seed)


@pytest.mark.parametrize("block", [1, 3, 20, 100])
def test_row_k_is_the_model_of_the_designs_row_k(block: int) -> None:
    counts: list[int] = []
    found = collect(BOX, DESIGN, block=block, progress=counts.append)
    rows = torch.arange(20)
    expected = number_of_subset_and_seed(DESIGN.weights(rows, 3), DESIGN.seeds(rows))
    assert torch.equal(found.outputs, expected)
    assert torch.equal(found.weights(), DESIGN.weights(rows, 3))
    assert found.n_models == 20 == sum(counts)
    assert found.description is DESCRIPTION
    assert not found.diverged.any()


def test_a_block_without_models_is_refused() -> None:
    with pytest.raises(ValueError, match="block must be at least 1, got 0"):
        collect(BOX, DESIGN, block=0)


def test_models_with_any_output_that_is_not_finite_are_marked() -> None:
    def fails(weights: Tensor, seeds: Tensor) -> Tensor:
        return torch.where(weights[:, :1] == 1, torch.inf, weights[:, 1:2])

    box = BlackBox(description=DESCRIPTION, train_and_measure=fails)
    found = collect(box, DESIGN)
    assert torch.equal(found.diverged, found.weights()[:, 0] == 1)


def test_processes_train_the_same_models_as_this_process() -> None:
    problem = LogisticRegression(data=table(12, 3, classes=2, seed=0), ridge=0.1)
    design = Bernoulli(p=0.5, n_models=10, seed=1)
    counts: list[int] = []
    with process_pool(1) as engine:
        found = collect(problem, design, engine=engine, block=4, progress=counts.append)
    alone: Responses = collect(problem, design, block=4)
    assert torch.equal(found.outputs, alone.outputs)
    assert counts == [4, 4, 2]

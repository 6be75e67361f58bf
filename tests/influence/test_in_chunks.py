"""TRAK and gradient products in chunks are those of all gradients at once."""

from typing import Any

import pytest
import torch
from samples import normal, table, weight_rows

from dmtheory.influence.baselines import in_chunks
from dmtheory.influence.baselines.gradient_product import gradient_product
from dmtheory.influence.baselines.in_chunks import (
    gradient_product_in_chunks,
    trak_in_chunks,
)
from dmtheory.influence.baselines.trak import random_signs, trak
from dmtheory.problems import MLP, SGD, Network
from dmtheory.training.losses import CrossEntropy


def network(**more: Any) -> Network:
    return Network(
        make_module=MLP((2, 4, 3)),
        data=table(23, 2, classes=3, seed=2),
        training=SGD(epochs=1, batch_size=8, weight_decay=0.02),
        **more,
    )


def params(n_models: int) -> torch.Tensor:
    return normal(n_models, 27, seed=1)


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let chunks be of five examples, and note how many there were."""
    seen: list[int] = []

    def rows(budget: in_chunks.Budget, numbers: int) -> int:
        seen.append(5)
        return 5

    monkeypatch.setattr(in_chunks.Budget, "rows", rows)
    return seen


@pytest.mark.parametrize("dimension", [3, 12, 27])
def test_trak_is_the_same(
    dimension: int, few_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two models at unequal weights; signs of several strips, and none."""
    monkeypatch.setattr(in_chunks, "_STRIP", 5)
    weights = 0.1 + weight_rows(1, 23, seed=3)[0]
    options: dict[str, Any] = {"dimension": dimension, "damping": 0.3, "at": weights}
    options |= {"parameters": params(2), "projection_seed": 4}
    found, expected = trak_in_chunks(network(), **options), trak(network(), **options)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(found.units, expected.units, rtol=1e-9, atol=1e-14)
    assert found.estimand == expected.estimand
    assert found.method == expected.method
    assert few_rows


def test_signs_are_those_of_trak() -> None:
    for model in (0, 3):
        found = in_chunks._signs(5, model, 150, torch.zeros(151).double())
        expected = random_signs(5, model, n_rows=151, n_columns=150)
        assert found is not None
        assert torch.equal(found, expected)


@pytest.mark.parametrize("normalisation", ["sum", "count"])
def test_gradient_products_are_the_same(normalisation: str) -> None:
    weights = weight_rows(1, 23, seed=3)[0]
    made = network(normalisation=normalisation)
    found = gradient_product_in_chunks(made, parameters=params(2), at=weights)
    expected = gradient_product(made, parameters=params(2), at=weights)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(found.stderr, expected.stderr, rtol=1e-9, atol=1e-14)
    assert found.estimand == expected.estimand


def test_a_loss_that_is_no_function_of_a_margin_is_refused() -> None:
    smoothed = network(loss=CrossEntropy(label_smoothing=0.2))
    with pytest.raises(ValueError, match="its loss is no function of a margin"):
        trak_in_chunks(smoothed, dimension=3, damping=0.1, parameters=params(1))
    with pytest.raises(ValueError, match="damping must make the kernel of 12"):
        alike = torch.zeros(1, 27).double()
        trak_in_chunks(network(), dimension=12, parameters=alike)
    with pytest.raises(ValueError, match="dimension must be at least 1"):
        trak_in_chunks(network(), dimension=0, parameters=params(1))

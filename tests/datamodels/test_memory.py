"""Peaks of memory, counted in Gram matrices, from every allocation that torch makes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from samples import normal, peak_bytes

from dmtheory import OLS, Lasso, Ridge
from dmtheory.datamodels.estimators import ridge_law, standard_errors
from dmtheory.datamodels.rows import moments
from dmtheory.datamodels.rows.sample import Chunk, Sample, make_chunk
from dmtheory.designs import Bernoulli

N_TRAIN, ROWS = 1600, 50


def streamed(n_train: int, n_models: int, n_targets: int = 1) -> Sample:
    """Return rows that come 50 at a time, as from a store."""
    law = Bernoulli(p=0.5, seed=1)

    def chunks() -> Iterator[Chunk]:
        for start in range(0, n_models, ROWS):
            ids = torch.arange(start, start + ROWS)
            x = law.weights(ids, n_train)
            y = x[:, :n_targets] + torch.sin(ids[:, None].double())
            yield make_chunk(x, y, ids, size=1, has_mean=True)

    return Sample(
        chunks=chunks,
        n_blocks=n_models,
        has_mean=True,
        level=0.5,
        shift=torch.zeros(n_targets).double(),
        null_directions=torch.zeros(0, n_train).double(),
    )


@pytest.mark.parametrize(
    ("estimator", "gram_matrices"),
    [
        (OLS(), 1),
        (Lasso(l1_penalties=(0.1,)), 1),
        (Lasso(l1_penalties=(0.1, 0.05)), 3),
        (Ridge(l2_penalties=(0.1,)), 1),
    ],
)
def test_the_peak_is_a_few_gram_matrices(
    monkeypatch: pytest.MonkeyPatch, estimator: Any, gram_matrices: int
) -> None:
    # What grows with N alone is kept small, so that N^2 shows at this size; the
    # bootstrap units, up to 200 N, remain.
    monkeypatch.setattr(moments, "_STRIP", 64)
    monkeypatch.setattr(ridge_law, "_STRIP", 64)
    sample = streamed(N_TRAIN, N_TRAIN + 200)
    found = peak_bytes(lambda: estimator.fit(sample)) / 8 / N_TRAIN**2
    assert gram_matrices < found < gram_matrices + 0.6


@pytest.mark.parametrize(
    ("estimator", "most"), [(OLS(), 4.3), (Ridge(l2_penalties=(0.1,)), 5.4)]
)
def test_many_targets_take_a_few_matrices_of_coefficients(
    monkeypatch: pytest.MonkeyPatch, estimator: Any, most: float
) -> None:
    # No units: at the sizes where this matters they are left out.
    monkeypatch.setattr(standard_errors, "_MAX_UNIT_ENTRIES", 1)
    n_train, n_targets = 300, 3000
    beta = normal(n_train, n_targets, seed=1)
    plain = streamed(n_train, 600)

    def chunks() -> Iterator[Chunk]:
        for chunk in plain.chunks():
            y = chunk.x @ beta + chunk.y
            yield replace(chunk, y=y, block_means=y.mean(1))

    sample = replace(plain, chunks=chunks, shift=torch.zeros(n_targets).double())
    gram, y = n_train**2, 5 * ROWS * n_targets
    found = peak_bytes(lambda: estimator.fit(sample)) / 8 - gram - y
    assert found / n_train / n_targets < most

"""Ridge by one factor, of columns or of rows, against the fit with a law and others."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import normal, peak_bytes, unchecked
from sklearn.linear_model import Ridge as SklearnRidge
from test_memory import streamed

from dmtheory import Ridge
from dmtheory.datamodels.estimators import ridge
from dmtheory.datamodels.rows import cholesky, kernel, moments
from dmtheory.datamodels.rows.cholesky import inverse_trace, solve_in_place
from dmtheory.datamodels.rows.moments import columns_of
from dmtheory.datamodels.rows.sample import Sample, block_rows, independent_rows
from dmtheory.designs import (
    AntitheticPairs,
    Bernoulli,
    ComplementaryPairs,
    DisjointBlocks,
    FixedSize,
)

PENALTY = 0.07


def rows_of(design: Any, n_models: int, n_train: int) -> Sample:
    """Return rows of a design with noisy linear outputs, of their block structure."""
    masks = design.weights(torch.arange(n_models), n_train)
    outputs = 3 + masks @ normal(n_train, 3, seed=1) + normal(n_models, 3, seed=2)
    size, has_mean = {
        ComplementaryPairs: (2, False),
        AntitheticPairs: (2, True),
        DisjointBlocks: (3, False),
    }.get(type(design), (1, True))
    null = design.null_directions(n_train)
    return block_rows(
        masks, outputs, size=size, has_mean=has_mean, null_directions=null
    )


DESIGNS = {
    "bernoulli": Bernoulli(p=0.4, seed=1),
    "fixed size": FixedSize(size=8, seed=1),
    "pairs": ComplementaryPairs(seed=1),
    "antithetic": AntitheticPairs(p=0.4, seed=1),
    "parts": DisjointBlocks(parts=3, seed=1),
}


def in_pieces(sample: Sample, size: int) -> Sample:
    """Return the same rows, a few blocks at a time."""
    (whole,) = sample.chunks()

    def chunks():
        for start in range(0, len(whole.blocks), size):
            yield whole.only((whole.blocks >= start) & (whole.blocks < start + size))

    return replace(sample, chunks=chunks)


@pytest.mark.parametrize("n_models", [120, 18])
@pytest.mark.parametrize("kind", DESIGNS)
def test_coefficients_are_those_with_a_law(kind: str, n_models: int) -> None:
    sample = in_pieces(rows_of(DESIGNS[kind], n_models, 20), 5)
    found = Ridge(l2_penalties=(PENALTY,), errors="none").fit(sample)
    expected = Ridge(l2_penalties=(PENALTY,)).fit(sample)
    for name in ("coefficients", "intercept", "penalty", "effective_parameters"):
        one, other = getattr(found, name), getattr(expected, name)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10, msg=name)
    assert found.stderr is None and found.units is None
    assert found.certificate is not None and found.certificate.value.max() < 1e-10


@given(n_models=st.integers(4, 60), seed=st.integers(0, 1000))
def test_a_single_penalty_is_scikit_learns(n_models: int, seed: int) -> None:
    masks = normal(n_models, 15, seed=seed)
    outputs = normal(n_models, 4, seed=seed + 1)
    found = Ridge(l2_penalties=(PENALTY,), errors="none").fit(
        independent_rows(masks, outputs)
    )
    model = SklearnRidge(alpha=n_models * PENALTY).fit(masks.numpy(), outputs.numpy())
    torch.testing.assert_close(
        found.coefficients, torch.from_numpy(model.coef_.T), rtol=0, atol=1e-9
    )
    torch.testing.assert_close(
        found.intercept, torch.from_numpy(model.intercept_), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("n_models", [60, 12])
def test_a_choice_of_penalties_is_the_same_without_a_law(n_models: int) -> None:
    sample = rows_of(DESIGNS["bernoulli"], n_models, 20)
    found, expected = Ridge(errors="none").fit(sample), Ridge().fit(sample)
    assert torch.equal(found.penalty, expected.penalty)
    assert torch.equal(found.coefficients, expected.coefficients)
    torch.testing.assert_close(
        found.effective_parameters, expected.effective_parameters
    )
    assert found.certificate is not None and found.certificate.converged.all()


@pytest.mark.parametrize("n_models", [60, 12])
def test_a_wrong_solution_has_no_certificate(
    n_models: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dmtheory.datamodels.estimators import ridge_without_law

    def wrong(factor, right):
        solve_in_place(factor, right)
        right[:, 1] *= 1 + 1e-6

    monkeypatch.setattr(ridge_without_law, "solve_in_place", wrong)
    sample = rows_of(DESIGNS["bernoulli"], n_models, 20)
    found = Ridge(l2_penalties=(PENALTY,), errors="none").fit(sample)
    assert found.certificate is not None
    assert found.certificate.converged.tolist() == [True, False, True]


def test_strips_and_parts_of_targets_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matrix = normal(50, 17, seed=1).T @ normal(50, 17, seed=1)
    right, factor = normal(17, 9, seed=2), torch.linalg.cholesky(matrix)
    monkeypatch.setattr(cholesky, "_STRIP", 4)
    monkeypatch.setattr(cholesky, "_AT_ONCE", 2 * 17)
    inverse = torch.linalg.inv(matrix)
    assert inverse_trace(factor) == pytest.approx(inverse.trace().item(), rel=1e-11)
    expected = inverse @ right
    solve_in_place(factor, right)
    torch.testing.assert_close(right, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", DESIGNS)
def test_a_kernel_in_chunks_is_exact(kind: str) -> None:
    sample = rows_of(DESIGNS[kind], 30, 40)
    x = sample.gathered().x.flatten(0, 1)
    found = kernel.kernel_of(in_pieces(sample, 4), columns_of(sample))
    torch.testing.assert_close(found, x @ x.T, rtol=0, atol=1e-12)
    if kind != "parts":  # contrasts of three are no multiples of 1/2
        assert torch.equal(found, x @ x.T)


def test_singular_matrices_take_the_spectrum(monkeypatch: pytest.MonkeyPatch) -> None:
    # A penalty far below rounding, with as many models as hardly span the examples.
    sample = rows_of(DESIGNS["bernoulli"], 20, 20)
    chosen = []
    whole = ridge.chosen_ridge
    monkeypatch.setattr(
        ridge, "chosen_ridge", lambda *asked: chosen.append(1) or whole(*asked)
    )
    found = Ridge(l2_penalties=(1e-18,), errors="none").fit(sample)
    assert chosen and torch.isfinite(found.coefficients).all()


@pytest.mark.parametrize(
    ("n_models", "matrix"), [(1700, 1600), (800, 800)], ids=["columns", "rows"]
)
def test_the_peak_is_one_matrix(
    n_models: int, matrix: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (moments, cholesky):
        monkeypatch.setattr(module, "_STRIP", 64)
    sample = streamed(1600, n_models)
    rule = Ridge(l2_penalties=(0.1,), errors="none")
    found = peak_bytes(lambda: rule.fit(sample)) / 8 / matrix**2
    assert 1 < found < 1.7


def test_options_are_named() -> None:
    with unchecked(), pytest.raises(ValueError, match="errors must be"):
        Ridge(errors="nothing")

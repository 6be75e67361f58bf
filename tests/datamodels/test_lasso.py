"""LASSO against scikit-learn, its optimality conditions, and the population's law."""

import warnings

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import normal, unchecked
from sklearn import linear_model
from torch import Tensor

from dmtheory import fit_datamodel
from dmtheory.datamodels.estimators.selection import HeldOut, KFold
from dmtheory.datamodels.lasso import engine, gram_path
from dmtheory.datamodels.lasso.duality_gap import duality_gap
from dmtheory.datamodels.lasso.lasso import Lasso
from dmtheory.datamodels.lasso.path import lasso_path, penalty_path
from dmtheory.datamodels.rows.sample import Sample, block_rows, independent_rows
from dmtheory.designs import Bernoulli, ComplementaryPairs, FixedSize
from dmtheory.problems.set_functions import all_masks
from dmtheory.theory.exhaustive import population_regression


def sparse(
    n_models: int, n_train: int, n_targets: int, *, noise: float = 0.5, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return masks, outputs 2 + x beta + noise, and beta with 3 entries a target."""
    masks = Bernoulli(p=0.4, seed=seed).weights(torch.arange(n_models), n_train)
    beta = torch.zeros(n_train, n_targets).double()
    for t in range(n_targets):
        beta[(torch.arange(3) * 2 + t) % n_train, t] = normal(3, seed=seed + t + 1)
    outputs = 2 + masks @ beta + noise * normal(n_models, n_targets, seed=seed + 99)
    return masks, outputs, beta


def scaled(masks: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x, y = masks - masks.mean(0), outputs - outputs.mean(0)
    return x.T @ x / len(x), x.T @ y / len(x), y.square().mean(0)


@pytest.mark.parametrize(("n_models", "n_train"), [(80, 20), (30, 60)])
def test_a_path_is_that_of_scikit_learn(n_models: int, n_train: int) -> None:
    masks, outputs, _ = sparse(n_models, n_train, 3, seed=1)
    _, cross, _ = scaled(masks, outputs)
    path = penalty_path(cross, 12, 0.05)
    found, gaps = lasso_path(independent_rows(masks, outputs), path, tolerance=1e-13)
    assert gaps.max() <= 1e-13
    x, y = (masks - masks.mean(0)).numpy(), (outputs - outputs.mean(0)).numpy()
    for t in range(3):
        _, expected, _ = linear_model.lasso_path(
            x, y[:, t], alphas=path[t].numpy() / 2, tol=1e-14, max_iter=100_000
        )
        np.testing.assert_allclose(found[t], expected.T, rtol=0, atol=1e-6)
        assert found[t, 0].abs().max() < 1e-12  # from here on all vanish
        assert found[t, 1].any()


def test_a_solution_is_that_of_statsmodels() -> None:
    masks, outputs, _ = sparse(80, 12, 2, seed=5)
    x, y = (masks - masks.mean(0)).numpy(), (outputs - outputs.mean(0)).numpy()
    fit = Lasso(l1_penalties=(0.06,), tolerance=1e-12).fit(
        independent_rows(masks, outputs)
    )
    for t in range(2):
        reference = sm.OLS(y[:, t], x).fit_regularized(
            "elastic_net", alpha=0.03, L1_wt=1.0, cnvrg_tol=1e-12, maxiter=10_000
        )
        np.testing.assert_allclose(fit.coefficients[:, t], reference.params, atol=1e-6)
        assert 0 < int((fit.coefficients[:, t] != 0).sum()) < 12


@given(
    n_models=st.integers(4, 40),
    n_train=st.integers(1, 30),
    share=st.floats(0.001, 0.9),
    seed=st.integers(0, 10_000),
)
def test_every_solution_meets_the_optimality_conditions(
    n_models: int, n_train: int, share: float, seed: int
) -> None:
    # |2 X'(y - Xb)/m| <= lambda, with equality and the sign of b where b is not 0.
    x, y = normal(n_models, n_train, seed=seed), normal(n_models, 2, seed=seed + 1)
    gram, cross, _ = scaled(x, y)
    penalty = share * 2 * cross.abs().amax(0)
    found, gaps = lasso_path(independent_rows(x, y), penalty[:, None], tolerance=1e-12)
    assert gaps.max() <= 1e-12
    beta = found[:, 0].T
    pull = 2 * (cross - gram @ beta)
    slack = 1e-5 * cross.abs().amax(0)
    assert (pull.abs() <= penalty + slack).all()
    active = beta != 0
    signed = (pull - penalty * beta.sign()).abs()
    assert (signed <= slack)[active].all()


def test_the_gap_bounds_the_distance_to_the_optimum() -> None:
    masks, outputs, _ = sparse(60, 15, 4, seed=3)
    moments = scaled(masks, outputs)
    gram, cross, squares = moments
    penalty = 0.2 * 2 * cross.abs().amax(0)

    def objective(beta: Tensor) -> Tensor:
        square = squares - 2 * (cross * beta).sum(0) + (beta * (gram @ beta)).sum(0)
        return square + penalty * beta.abs().sum(0)

    best, _ = lasso_path(
        independent_rows(masks, outputs), penalty[:, None], tolerance=1e-14
    )
    optimum = objective(best[:, 0].T)
    for seed in range(20):
        beta = best[:, 0].T + 10.0 ** -(seed % 5) * normal(15, 4, seed=seed)
        excess = (objective(beta) - optimum) / squares
        gap = duality_gap(*moments, beta, penalty)
        assert (gap >= excess - 1e-13).all()
    # At 0 it is the objective itself less the best dual value: never more than 1.
    zero = duality_gap(*moments, torch.zeros(15, 4).double(), penalty)
    assert ((zero > 0) & (zero <= 1)).all()


@pytest.mark.parametrize("p", [0.5, 0.25])
def test_the_population_is_soft_thresholded(p: float) -> None:
    # Rows repeated as often as the law says: all subsets of 4 at p = 1/2 or 1/4.
    masks, values = all_masks(4), normal(16, 3, seed=5)
    times = (3 ** (4 - masks.sum(1))).long() if p == 0.25 else torch.ones(16).long()
    x, y = masks.repeat_interleave(times, 0), values.repeat_interleave(times, 0)
    _, beta = population_regression(values, p)
    penalty = 0.2
    fit = Lasso(l1_penalties=(penalty,), tolerance=1e-14).fit(independent_rows(x, y))
    reach = penalty / (2 * p * (1 - p))
    expected = beta.sign() * (beta.abs() - reach).clamp_min(0)
    assert (expected == 0).any() and (expected != 0).any()
    torch.testing.assert_close(fit.coefficients, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("selection", [HeldOut(share=0.3, seed=4), KFold(folds=4)])
def test_the_penalty_is_the_best_on_held_out_models(
    selection: HeldOut | KFold,
) -> None:
    masks, outputs, _ = sparse(90, 12, 3, noise=1.0, seed=7)
    grid = (0.4, 0.2, 0.1, 0.05, 0.02, 0.005)
    fit = Lasso(
        l1_penalties=grid, selection=selection, patience=9, tolerance=1e-10
    ).fit(independent_rows(masks, outputs))
    for t in range(3):
        errors = np.zeros(len(grid))
        for out in selection.held_out(90):
            for k, penalty in enumerate(grid):
                model = linear_model.Lasso(alpha=penalty / 2, tol=1e-12)
                model.fit(masks[~out].numpy(), outputs[~out, t].numpy())
                rest = outputs[out, t].numpy() - model.predict(masks[out].numpy())
                errors[k] += (rest**2).sum()
        assert fit.penalty is not None
        assert fit.penalty[t] == grid[errors.argmin()]
        # Then fitted anew to all models.
        model = linear_model.Lasso(alpha=grid[errors.argmin()] / 2, tol=1e-12)
        model.fit(masks.numpy(), outputs[:, t].numpy())
        np.testing.assert_allclose(
            fit.coefficients[:, t], model.coef_, rtol=0, atol=1e-4
        )
        assert fit.intercept[t].item() == pytest.approx(model.intercept_, abs=1e-4)


def test_a_path_ends_when_errors_rise_and_finds_the_support() -> None:
    masks, outputs, beta = sparse(400, 60, 20, noise=0.3, seed=2)
    fit = Lasso().fit(independent_rows(masks, outputs))
    assert fit.certificate is not None
    assert fit.certificate.value.max() <= 1e-6
    assert fit.certificate.converged.all()
    large = beta.abs() > 0.2
    assert (fit.coefficients[large] != 0).all()
    support = (fit.coefficients != 0).sum(0)
    assert support.median() < 20  # of 60
    torch.testing.assert_close(fit.effective_parameters, support.double() + 1)
    whole = Lasso(patience=40).fit(independent_rows(masks, outputs))
    assert (whole.penalty == fit.penalty).float().mean() >= 0.9


def test_without_numba_the_path_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    masks, outputs, _ = sparse(80, 20, 4, seed=1)
    sample = independent_rows(masks, outputs)
    rule = Lasso(tolerance=1e-9, patience=40)
    compiled = rule.fit(sample)
    monkeypatch.setattr(engine, "_engine", lambda: gram_path.descend)
    other = rule.fit(sample)
    assert torch.equal(other.penalty, compiled.penalty)
    torch.testing.assert_close(
        other.coefficients, compiled.coefficients, rtol=0, atol=2e-4
    )
    assert other.certificate is not None
    assert other.certificate.value.max() <= 1e-9


def test_invariance_to_shift_scale_order_and_other_targets() -> None:
    masks, outputs, _ = sparse(70, 15, 3, seed=9)
    rule = Lasso(tolerance=1e-12, selection=KFold(folds=3))
    whole = rule.fit(independent_rows(masks, outputs))
    moved = rule.fit(independent_rows(masks, 1e6 - 4 * outputs))
    torch.testing.assert_close(moved.penalty, 4 * whole.penalty)
    torch.testing.assert_close(
        moved.coefficients, -4 * whole.coefficients, rtol=0, atol=1e-5
    )
    alone = rule.fit(independent_rows(masks, outputs[:, 1:2]))
    torch.testing.assert_close(
        alone.coefficients[:, 0], whole.coefficients[:, 1], rtol=0, atol=1e-12
    )
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    turned = rule.fit(independent_rows(masks[:, order], outputs))
    torch.testing.assert_close(
        turned.coefficients, whole.coefficients[order], rtol=0, atol=1e-5
    )


def test_pairs_are_regressed_by_their_differences() -> None:
    design = ComplementaryPairs(n_pairs=60, seed=3)
    masks = design.weights(torch.arange(120), 10)
    outputs = masks @ normal(10, 2, seed=1) + normal(120, 2, seed=2)
    found = fit_datamodel(
        masks, outputs, design=design, estimator=Lasso(l1_penalties=(0.1,))
    )
    half = ((outputs[::2] - outputs[1::2]) / 2).numpy()
    for t in range(2):
        model = linear_model.Lasso(alpha=0.05, fit_intercept=False, tol=1e-10)
        model.fit(masks[::2].numpy() - 0.5, half[:, t])
        np.testing.assert_allclose(found.scores[:, t], model.coef_, atol=2e-3)
    assert "duality gap at most" in found.method
    assert found.stderr is None
    assert found.units is None


def test_outputs_that_do_not_vary_have_no_coefficients() -> None:
    masks, outputs, _ = sparse(40, 8, 2, seed=1)
    outputs[:, 0] = 0.1
    found = fit_datamodel(masks, outputs, design=Bernoulli(p=0.4), estimator=Lasso())
    assert not found.scores[:, 0].any()
    assert found.intercept is not None
    assert found.intercept[0].item() == pytest.approx(0.1, abs=1e-12)


def test_what_has_not_converged_is_not_returned_as_if_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    masks, outputs, _ = sparse(60, 20, 2, seed=1)
    sample = independent_rows(masks, outputs)

    def stops_early(*arguments):
        found, errors = gram_path.descend(*arguments)
        return 0.9 * found, errors

    monkeypatch.setattr(engine, "_engine", lambda: stops_early)
    fit = Lasso(l1_penalties=(0.05,)).fit(sample)
    assert fit.certificate is not None
    assert not fit.certificate.converged.any()
    with unchecked(), pytest.raises(ValueError, match="fit must reach a duality gap"):
        fit_datamodel(
            masks,
            outputs,
            design=Bernoulli(p=0.4),
            estimator=Lasso(l1_penalties=(0.05,)),
        )


def test_fixed_size_masks_are_fitted() -> None:
    design = FixedSize(size=6, n_models=80, seed=0)
    masks = design.weights(torch.arange(80), 15)
    outputs = masks @ normal(15, 2, seed=1) + normal(80, 2, seed=2)
    found = fit_datamodel(masks, outputs, design=design, estimator=Lasso())
    assert torch.isfinite(found.scores).all()


def duplicated(sample: tuple[Tensor, Tensor]) -> Sample:
    masks, outputs = sample
    return independent_rows(masks[:, [0, 1, 1]], outputs)


def test_bad_masks_and_options_are_named() -> None:
    masks, outputs, _ = sparse(60, 5, 2, seed=1)
    with pytest.raises(ValueError, match="columns 1 and 2 that are duplicates"):
        Lasso().fit(duplicated((masks, outputs)))
    masks[:, 3] = 1.0
    with pytest.raises(ValueError, match="a constant column 3"):
        Lasso().fit(independent_rows(masks, outputs))
    with pytest.raises(ValueError, match="at least 3 models or pairs to choose"):
        HeldOut().held_out(2)
    with pytest.raises(ValueError, match="at least 10 models or pairs to choose"):
        KFold().held_out(9)
    with pytest.raises(ValueError, match="l1_penalties must be finite and > 0"):
        Lasso(l1_penalties=(0.1, -1.0))
    with pytest.raises(ValueError, match="l1_penalties must hold at least one"):
        Lasso(l1_penalties=())


def test_splits_are_a_partition_and_keep_pairs_together() -> None:
    parts = torch.stack(KFold(folds=3, seed=5).held_out(20))
    assert torch.equal(parts.sum(0), torch.ones(20).long())
    assert sorted(parts.sum(1).tolist()) == [6, 7, 7]
    (held,) = HeldOut(share=0.25, seed=5).held_out(20)
    assert int(held.sum()) == 5
    assert not torch.equal(held, HeldOut(share=0.25, seed=6).held_out(20)[0])
    rows = ComplementaryPairs(n_pairs=20).weights(torch.arange(40), 3)
    sample = block_rows(rows, rows[:, :1], size=2, has_mean=False)
    kept = sample.only(held).gathered()
    torch.testing.assert_close(kept.x[:, 0], rows[::2][held] - 0.5)


def test_no_warning_comes_from_a_hard_path() -> None:
    # Nearly saturated: many coordinates, few models, a tiny penalty.
    masks, outputs, _ = sparse(25, 50, 2, noise=0.0, seed=4)
    _, cross, _ = scaled(masks, outputs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, gaps = lasso_path(
            independent_rows(masks, outputs), penalty_path(cross, 10, 1e-4)
        )
    assert gaps.max() <= 1e-6

"""Sampling laws of estimators against dense matrices of few rows."""

import pytest
import torch
from samples import normal
from torch import Tensor

from dmtheory.datamodels.estimators import ridge, standard_errors
from dmtheory.datamodels.estimators.ols import OLS
from dmtheory.datamodels.estimators.ridge import Ridge, candidates
from dmtheory.datamodels.estimators.ridge_law import ByInverse
from dmtheory.datamodels.estimators.selection import HeldOut, KFold
from dmtheory.datamodels.estimators.shrinkage import _choice, _errors, _Toward
from dmtheory.datamodels.estimators.standard_errors import Units
from dmtheory.datamodels.estimators.target_blocks import TargetBlocks
from dmtheory.datamodels.rows.sample import block_rows, independent_rows
from dmtheory.datamodels.rows.spectrum import spectrum_of
from dmtheory.designs import FixedSize


def centred(values: Tensor) -> Tensor:
    return values - values.mean(0)


def test_means_and_contrasts_have_a_variance_each() -> None:
    """E of a kind's sum of squared residuals is sum_b tr(R S_a R S_b) sigma_b^2.

    R leaves residuals of a regression on all rows, S_a marks the rows of a kind.
    """
    n_blocks, n_train = 14, 5
    weights = normal(3 * n_blocks, n_train, seed=1)
    effects = 3 * normal(n_blocks, 2, seed=2).repeat_interleave(3, 0)
    outputs = effects + normal(3 * n_blocks, 2, seed=3)
    sample = block_rows(weights, outputs, size=3, has_mean=True)
    rows = sample.gathered()
    is_mean = torch.tensor([1.0, 0.0, 0.0]).double().repeat(n_blocks)
    x = torch.cat([is_mean[:, None], rows.x.flatten(0, 1)], dim=1)
    solve = torch.linalg.pinv(x)
    leave = torch.eye(len(x)).double() - x @ solve
    residuals = leave @ rows.y.flatten(0, 1)
    kinds = [torch.diag(is_mean), torch.diag(1 - is_mean)]
    system = torch.tensor([
        [torch.trace(leave @ a @ leave @ b).item() for b in kinds] for a in kinds
    ]).double()
    squares = torch.stack([(kind @ residuals).square().sum(0) for kind in kinds])
    variances = torch.linalg.solve(system, squares)
    assert (variances > 0).all()
    spreads = torch.stack([(solve @ kind @ solve.T).diagonal()[1:] for kind in kinds])
    stderr = OLS().fit(sample).stderr
    torch.testing.assert_close(stderr, (spreads.T @ variances).sqrt())


def test_standard_errors_have_no_part_where_the_design_never_varies() -> None:
    law = FixedSize(size=3, seed=1)
    masks, outputs = law.weights(torch.arange(40), 6), normal(40, 2, seed=2)
    null = law.null_directions(6)
    x, y = centred(masks), centred(outputs)
    solve = torch.linalg.pinv(x)
    rest = y - x @ (solve @ y)
    expected = (solve @ solve.T).diagonal()[:, None] * rest.square().sum(0) / (39 - 5)
    fit = OLS().fit(independent_rows(masks, outputs, null_directions=null))
    torch.testing.assert_close(fit.stderr, expected.sqrt())


def test_a_column_that_depends_on_others_but_for_little_is_refused() -> None:
    # A factor exists, but 1e-12 of the last column is its own.
    weights = normal(30, 4, seed=1)
    weights[:, 3] = weights[:, :3].sum(1) + 1e-6 * weights[:, 3]
    with pytest.raises(ValueError, match="linearly independent columns"):
        OLS().fit(independent_rows(weights, normal(30, 1, seed=2)))


def test_no_rows_are_refused() -> None:
    sample = independent_rows(normal(9, 3, seed=1), normal(9, 2, seed=2))
    with pytest.raises(ValueError, match="got 0"):
        OLS().fit(sample.only(torch.zeros(9, dtype=torch.bool)))


def test_outputs_that_are_zero_are_solved() -> None:
    fit = OLS().fit(independent_rows(normal(9, 3, seed=1), torch.zeros(9, 2).double()))
    assert fit.certificate is not None
    assert fit.certificate.value.tolist() == [0.0, 0.0]


def test_an_inverse_tells_freedom_and_spread() -> None:
    x, penalty = centred(normal(12, 5, seed=1)), 2.5
    inverse = torch.linalg.inv(x.T @ x + penalty * torch.eye(5).double())
    leave = torch.eye(12).double() - 1 / 12 - x @ inverse @ x.T
    left = leave @ leave
    found = ByInverse(inverse=inverse, ridge=penalty, n_rows=11, rank=5)
    trace, freedom = found.freedom()
    assert found.used().item() == pytest.approx(torch.trace(x @ inverse @ x.T).item())
    assert trace.item() == pytest.approx(torch.trace(left).item())
    assert freedom.item() == pytest.approx(
        (torch.trace(left) ** 2 / torch.trace(left @ left)).item()
    )
    spread = (inverse @ x.T @ x @ inverse).diagonal()
    torch.testing.assert_close(found.spread(), spread[:, None])


def test_one_penalty_takes_no_eigendecomposition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ridge, "chosen_ridge", None)
    sample = independent_rows(normal(9, 3, seed=1), normal(9, 2, seed=2))
    assert Ridge(l2_penalties=(0.1,)).fit(sample).stderr is not None


def test_the_path_is_33_penalties_over_8_decades() -> None:
    x = normal(20, 3, seed=1)
    spectrum = spectrum_of(independent_rows(x, normal(20, 1, seed=2)))
    variance = centred(x).square().mean().item()
    expected = variance * 10 ** torch.linspace(-4, 4, 33, dtype=torch.float64)
    torch.testing.assert_close(candidates(None, spectrum), expected)


def test_units_are_runs_of_two_blocks_at_least() -> None:
    for n_blocks, n_entries, n_units in [(7, 1, 3), (1000, 1, 200), (99, 2**22, 4)]:
        units = Units(n_blocks, n_entries)
        assert (units.n, units.wanted) == (n_units, True)
        assert units.sizes.sum() == n_blocks
    assert not Units(3, 1).wanted
    assert not Units(99, 2**24).wanted


def test_blocks_of_targets_with_unlike_units_keep_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample = independent_rows(normal(40, 4, seed=1), normal(40, 3, seed=2))
    whole = OLS().fit(sample)
    one = TargetBlocks(estimator=OLS(), size=1).fit(sample)
    torch.testing.assert_close(one.coefficients, whole.coefficients)
    torch.testing.assert_close(one.units, whole.units)
    assert one.degrees_of_freedom == whole.degrees_of_freedom == 35
    # Two targets now have 5 units, one has 10.
    monkeypatch.setattr(standard_errors, "_MAX_UNIT_ENTRIES", 40)
    parts = TargetBlocks(estimator=OLS(), size=2).fit(sample)
    assert parts.units is None
    torch.testing.assert_close(parts.stderr, whole.stderr)


def test_models_held_out_are_those_of_earlier_versions() -> None:
    assert HeldOut() == HeldOut(share=0.2, seed=0)
    assert KFold() == KFold(folds=5, seed=0)
    assert HeldOut().held_out(10)[0].nonzero().flatten().tolist() == [2, 8]
    parts = KFold(folds=2).held_out(4)
    assert (parts[0] ^ parts[1]).all()
    assert [int(part.sum()) for part in parts] == [2, 2]
    with pytest.raises(ValueError, match=r"at least 4 models or pairs .* got 3"):
        KFold(folds=2).held_out(3)


@pytest.mark.parametrize(("n_models", "l2_penalty"), [(25, 0.3), (4, 1e-4)])
def test_shrinkage_has_the_law_of_a_linear_map(
    n_models: int, l2_penalty: float
) -> None:
    """The scale is a regressor without penalty; four models leave no freedom."""
    x, y = normal(n_models, 6, seed=1), normal(n_models, 1, seed=2)
    prior = normal(6, 1, seed=3)
    prior = prior / prior.norm()
    xc = centred(x)
    both = torch.cat([xc @ prior, xc], dim=1)
    curvature = torch.diag(torch.tensor([0.0] + [n_models * l2_penalty] * 6).double())
    solve = torch.linalg.solve(both.T @ both + curvature, both.T)
    expected = prior @ solve[:1] + solve[1:]
    rest = centred(y) - both @ (solve @ centred(y))
    ridge_only = xc @ torch.linalg.solve(xc.T @ xc + curvature[1:, 1:], xc.T)
    leave = torch.eye(n_models).double() - 1 / n_models - ridge_only
    left = max(torch.trace(leave @ leave).item() - 1, 1e-6 * n_models)
    assert (left == 1e-6 * n_models) == (n_models == 4)
    spectrum = spectrum_of(independent_rows(x, y)).with_basis()
    found = _Toward(
        spectrum, prior, spectrum.basis.T @ prior, torch.tensor([l2_penalty]).double()
    )
    torch.testing.assert_close(found.coefficients, expected @ centred(y))
    stderr = found.law()[0]
    variance = expected.square().sum(1, keepdim=True) * rest.square().sum() / left
    torch.testing.assert_close(stderr, variance.sqrt(), rtol=1e-6, atol=0)
    used = torch.trace(ridge_only).item() + 2
    assert found.used_parameters.item() == pytest.approx(used)


def test_a_row_left_out_takes_its_part_of_the_scale_at_any_penalty() -> None:
    """Two solutions of brute force: a weak penalty leaves z'(I-H)z far below one."""
    x, y, prior = normal(12, 4, seed=1), normal(12, 1, seed=2), normal(4, 1, seed=3)
    prior, penalty = prior / prior.norm(), 1e-3
    columns = torch.cat([torch.ones(12, 1).double(), x @ prior, x], dim=1)
    curvature = torch.diag(torch.tensor([0.0, 0.0] + [12 * penalty] * 4).double())
    expected = 0.0
    for row in range(12):
        rows = columns[torch.arange(12) != row]
        kept = y[torch.arange(12) != row]
        beta = torch.linalg.solve(rows.T @ rows + curvature, rows.T @ kept)
        expected += (y[row] - columns[row] @ beta).item() ** 2
    spectrum = spectrum_of(independent_rows(x, y))
    found = _errors(spectrum, prior, torch.tensor([penalty]).double())
    assert found.item() == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("below", "helps"), [(0.09, False), (0.11, True)])
def test_a_prior_must_show_a_chi_square_of_four(below: float, helps: bool) -> None:
    # One target of 10 models: its log errors count 10 + 30 times, to 3.6 and 4.4.
    plain = torch.tensor([[2.0]]).double()
    toward = plain * torch.tensor(-below).double().exp()
    assert bool(_choice(toward, plain, 10)[1]) is helps

"""The LASSO without a Gram matrix: the same products, the same fit."""

from typing import Any

import pytest
import torch
from samples import normal
from torch import Tensor

from dmtheory.datamodels.estimators.selection import KFold
from dmtheory.datamodels.lasso import lasso as lassos
from dmtheory.datamodels.lasso import rows_gram
from dmtheory.datamodels.lasso.gram import Gram
from dmtheory.datamodels.lasso.lasso import Lasso
from dmtheory.datamodels.lasso.rows_gram import RowsGram, row_moments
from dmtheory.datamodels.lasso.scaling import scaled
from dmtheory.datamodels.lasso.working_sets import WorkingSets, working_sets
from dmtheory.datamodels.rows.moments import columns_of, moments_of
from dmtheory.datamodels.rows.sample import Sample, block_rows, independent_rows
from dmtheory.designs import Bernoulli, ComplementaryPairs

N_TRAIN = 70


def study(design: str, n_models: int = 24) -> Sample:
    rows = torch.arange(n_models)
    noise = 0.3 * normal(n_models, 3, seed=2)
    if design == "Bernoulli":
        x = Bernoulli(p=0.4, seed=1).weights(rows, N_TRAIN)
        return independent_rows(x, 5 + 2 * x[:, :3] - x[:, 3:6] + noise)
    if design == "real":
        x = normal(n_models, N_TRAIN, seed=3)
        return independent_rows(x, 5 + 2 * x[:, :3] - x[:, 3:6] + noise)
    x = ComplementaryPairs(seed=1).weights(rows, N_TRAIN)
    return block_rows(
        x, 5 + 2 * x[:, :3] - x[:, 3:6] + noise, size=2, has_mean=False,
        null_directions=torch.zeros(0, N_TRAIN).double(),
    )  # fmt: skip


each_design = pytest.mark.parametrize("design", ["Bernoulli", "pairs", "real"])


@each_design
@pytest.mark.parametrize("apart", [False, True])
def test_products_are_those_of_the_matrix(
    design: str, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """About the rows' own mean and that of others; rows in parts, kept and not."""
    monkeypatch.setattr(rows_gram, "_AT_ONCE", 5 * N_TRAIN)
    monkeypatch.setattr(rows_gram, "_KEPT", 2**27 if apart else 0)
    sample = study(design)
    out = torch.arange(sample.n_blocks) % 3 == 0
    part, others = sample.only(out), sample.only(~out)
    centre = columns_of(others if apart else part)
    whole = moments_of(part)
    expected = scaled(whole.about(centre.x_mean, centre.y_mean), None)
    found = row_moments(part, columns_of(part), centre, flat_is_zero=False)
    for name in ("cross", "output_squares"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), rtol=1e-12, atol=1e-12
        )
    moves = normal(N_TRAIN, 4, seed=5)
    exact = expected.gram @ moves
    torch.testing.assert_close(found.gram.times(moves), exact, rtol=0, atol=1e-12)
    for precision, tolerance in (
        (torch.float64, 1e-12), (torch.float32, 1e-5)
    ):  # fmt: skip
        fast = found.gram.product(precision)(moves[None])[0]
        assert (fast - exact).norm() <= tolerance * exact.norm()
    bound = torch.linalg.eigvalsh(expected.gram)[-1]
    assert bound <= found.gram.largest_eigenvalue <= 1.06 * bound
    marked = normal(N_TRAIN, 4, seed=6) > 1
    for sets in working_sets(marked, torch.arange(4)):
        of_rows = found.gram.within(sets, torch.float64)
        of_matrix = Gram(expected.gram).within(sets, torch.float64)
        torch.testing.assert_close(of_rows, of_matrix, rtol=0, atol=1e-12)


@each_design
@pytest.mark.parametrize("stated", [True, False])
def test_the_fit_is_the_same(
    design: str, stated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By compiled coordinate descent with the matrix, and in torch without it."""
    sample = study(design, 34)
    rule = Lasso(
        l1_penalties=(0.05,) if stated else None,
        n_penalties=8,
        least_penalty=0.05,
        selection=KFold(folds=3),
        tolerance=1e-10,
    )
    expected = rule.fit(sample)
    made: list[Tensor] = []
    monkeypatch.setattr(lassos, "WIDE", N_TRAIN)
    monkeypatch.setattr(lassos, "moments_of", made.append)
    found = rule.fit(sample)
    assert made == []
    torch.testing.assert_close(found.penalty, expected.penalty)
    for name in ("coefficients", "intercept"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), rtol=0, atol=2e-4
        )
    assert found.certificate is not None
    assert float(found.certificate.value.max()) <= 1e-10
    assert 0 < int((found.coefficients != 0).sum()) < found.coefficients.numel()


def test_masks_take_a_byte_an_entry() -> None:
    kept = row_moments(
        study("Bernoulli"), columns_of(study("Bernoulli")), columns_of(study("pairs"))
    ).gram
    assert kept._twice.dtype == torch.int8
    assert row_moments(
        study("real"), columns_of(study("real")), columns_of(study("real"))
    ).gram._twice.dtype == torch.float64  # fmt: skip


def test_products_stay_where_the_rows_are() -> None:
    """On a device whose tensors hold nothing and refuse to mix with others."""
    there: dict[str, Any] = {"device": "meta", "dtype": torch.float64}
    gram = RowsGram(
        torch.zeros(6, 9, dtype=torch.int8, device="meta"),
        torch.ones(6, **there),
        torch.ones(9, **there),
        6,
    )
    moves = torch.ones(9, 2, **there)
    assert gram.times(moves).device.type == "meta"
    assert gram.cross(torch.ones(6, 2, **there)).device.type == "meta"
    for precision in gram.precisions:
        assert gram.product(precision)(moves[None]).device.type == "meta"
    places = torch.zeros(2, 3, dtype=torch.int64, device="meta")
    sets = WorkingSets(places[:, 0], places, places == 0)
    assert gram.within(sets, torch.float32).device.type == "meta"


def test_narrow_problems_and_many_models_keep_the_matrix() -> None:
    assert not lassos._is_wide(study("Bernoulli"))
    wide = Bernoulli(p=0.5).weights(torch.arange(3), lassos.WIDE)
    assert lassos._is_wide(independent_rows(wide, normal(3, 1, seed=0)))

"""Products without rounding, on devices with and without integer products."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import normal

from dmtheory.datamodels.rows import integers, moments
from dmtheory.datamodels.rows.integers import (
    add_split_product,
    doubled_integers,
    product,
    sums_integers,
)
from dmtheory.datamodels.rows.moments import integer_gram, moments_of
from dmtheory.datamodels.rows.sample import independent_rows
from dmtheory.designs import Bernoulli

CPU = torch.device("cpu")


@pytest.fixture(params=["int32", "float32"])
def summed_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have products summed in either type."""
    integer = request.param == "int32"
    for module in (integers, moments):
        monkeypatch.setattr(module, "sums_integers", lambda device: integer)
    return request.param


def test_a_sum_of_either_type_is_exact(
    summed_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.arange(300 * 50).reshape(300, 50) * 37 % 255 - 127
    y = torch.arange(300 * 20).reshape(300, 20) * 101 % 255 - 127
    left, right = doubled_integers(x / 2), doubled_integers(y / 2)
    assert left is not None and right is not None
    assert (left.largest, right.largest) == (127, 127)
    expected = (x.T @ y).double()
    assert torch.equal(product(left, right)[:50, :20], expected)
    # Short runs of rows, as for many rows of large entries.
    monkeypatch.setitem(integers._EXACT, getattr(torch, summed_in), 127 * 127 * 17)
    assert torch.equal(product(left, right)[:50, :20], expected)


def test_float32_is_not_summed_beyond_where_it_is_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 2^24 + 1 is no float32: one run over all of these rows would lose the last.
    monkeypatch.setattr(integers, "sums_integers", lambda device: False)
    rows = 2**24 // 127**2 + 2
    x = torch.full((rows, 1), 127 / 2).double()
    x[-1] = 0.5
    small = doubled_integers(x)
    assert small is not None
    assert product(small, small)[0, 0].item() == (rows - 1) * 127**2 + 1


def test_counts_above_256_are_exact(summed_in: str) -> None:
    # Where 16-bit sums are off by up to 8.
    masks = Bernoulli(p=0.5, seed=1).weights(torch.arange(2000), 30)
    counts = masks.long().T @ masks.long()
    assert counts.max() > 900 and (counts % 2 == 1).any()
    assert torch.equal(integer_gram(masks), counts.double())


def test_what_is_no_small_integer_is_not_taken_for_one() -> None:
    assert doubled_integers(torch.full((3, 3), 0.25).double()) is None
    assert doubled_integers(torch.full((3, 3), 64.0).double()) is None
    assert doubled_integers(torch.zeros(0, 5).double()) is not None


@given(
    rows=st.integers(1, 60),
    targets=st.integers(1, 70),
    size=st.integers(-300, 300),
    seed=st.integers(0, 1000),
)
def test_split_products_keep_float64s_digits(
    rows: int, targets: int, size: int, seed: int
) -> None:
    x = Bernoulli(p=0.5, seed=seed).weights(torch.arange(rows), 9)
    y = normal(rows, targets, seed=seed) * 2.0**size
    y[:, 0] = 0.0
    small = doubled_integers(x)
    assert small is not None
    total = torch.ones(9, targets).double() * 2.0**size
    add_split_product(total, small, y / 2)
    # Rows times half a unit in the last digit, and the rounding of the last sums.
    allowed = (rows * 2.0**-57 + 8 * 2.0**-53 * rows) * y.abs().amax(0) + 2.0**-50 * (
        2.0**size
    )
    assert ((total - 2.0**size - x.T @ y).abs() <= allowed).all()


def test_split_products_are_nearer_to_the_truth_than_one_rounding_a_sum() -> None:
    # In exact arithmetic: the whole error is that of rounding outputs at 2^-57.
    x = Bernoulli(p=0.5, seed=3).weights(torch.arange(400), 4)
    y = normal(400, 2, seed=3)
    small = doubled_integers(x)
    assert small is not None
    total = torch.zeros(4, 2).double()
    add_split_product(total, small, y / 2)
    for j in range(4):
        for t in range(2):
            truth = sum(
                Fraction(v) for v, m in zip(y[:, t].tolist(), x[:, j], strict=True) if m
            )
            error = abs(Fraction(total[j, t].item()) - truth)
            largest = max(abs(v) for v in y[:, t].tolist())
            rounding = 400 * 2.0**-57 * 2 * largest + 4 * 2.0**-53 * abs(truth)
            assert error <= rounding


def test_moments_by_digits_are_those_by_float64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What a device with integer units does, on this one.
    masks = Bernoulli(p=0.4, seed=1).weights(torch.arange(90), 11)
    outputs = 3 + normal(90, 5, seed=1)
    plain = moments_of(independent_rows(masks, outputs)).centred()

    def split(total, x, small, y):
        add_split_product(total, small, y / 2)

    monkeypatch.setattr(moments, "_add_cross", split)
    found = moments_of(independent_rows(masks, outputs)).centred()
    assert torch.equal(found.gram, plain.gram)
    torch.testing.assert_close(found.cross, plain.cross, rtol=0, atol=1e-13)


def test_a_device_that_multiplies_wrongly_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert sums_integers(CPU)
    right = torch._int_mm
    tried = sums_integers.__wrapped__
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: right(a, b).roll(1, 0))
    assert not tried(CPU)

    def lacking(a, b):
        raise NotImplementedError("no integer products here")

    monkeypatch.setattr(torch, "_int_mm", lacking)
    assert not tried(CPU)

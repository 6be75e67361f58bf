"""The LASSO of all targets at once, as GPUs run it, on the CPU in each precision."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import generator, normal
from sklearn import linear_model
from torch import Tensor

from dmtheory.datamodels.estimators.selection import KFold
from dmtheory.datamodels.lasso import batched, engine, working_sets
from dmtheory.datamodels.lasso.batched import solve, walk
from dmtheory.datamodels.lasso.duality_gap import duality_gap
from dmtheory.datamodels.lasso.gram import Gram, fast_product, sums_bfloat16
from dmtheory.datamodels.lasso.lasso import Lasso
from dmtheory.datamodels.lasso.path import iter_lasso_path, lasso_path, penalty_path
from dmtheory.datamodels.lasso.scaling import scaled
from dmtheory.datamodels.rows.moments import Centred, moments_of
from dmtheory.datamodels.rows.sample import Sample, independent_rows
from dmtheory.designs import Bernoulli

LADDERS = {
    "float64": [torch.float64],
    "float32": [torch.float32, torch.float64],
    "bfloat16": [torch.bfloat16, torch.float32, torch.float64],
}


def study(n_models: int, n_train: int, n_targets: int, *, seed: int = 1) -> Sample:
    """Return masks and outputs with three large coefficients a target, and noise."""
    masks = Bernoulli(p=0.4, seed=seed).weights(torch.arange(n_models), n_train)
    beta = torch.zeros(n_train, n_targets).double()
    beta[torch.randint(n_train, (3, n_targets), generator=generator(seed))] = 1.0
    noise = normal(n_models, n_targets, seed=seed + 1)
    return independent_rows(masks, 2 + masks[:, :n_targets] + masks @ beta + noise)


def moments(sample: Sample) -> Centred:
    return scaled(moments_of(sample).centred(), sample.shift)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the engine of other devices run on this one."""
    monkeypatch.setattr(engine, "_is_compiled_for", lambda device: False)


@pytest.fixture(params=LADDERS)
def ladder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have products begin in a precision."""

    class Begun(Gram):
        def __init__(self, exact: Tensor) -> None:
            super().__init__(exact)
            self.precisions = LADDERS[request.param]

    monkeypatch.setattr(batched, "Gram", Begun)
    return request.param


@pytest.fixture(params=[0.0, 1.0], ids=["overall", "within sets"])
def narrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """Have all targets take one of the two ways."""
    monkeypatch.setattr(batched, "_NARROW", request.param)
    return request.param


@pytest.mark.parametrize(("n_models", "n_train"), [(80, 20), (30, 60)])
def test_a_path_is_that_of_scikit_learn(
    n_models: int, n_train: int, elsewhere: None, ladder: str, narrow: float
) -> None:
    sample = study(n_models, n_train, 3)
    path = penalty_path(moments(sample).cross, 8, 0.1)
    found, gaps = lasso_path(sample, path, tolerance=1e-12)
    assert gaps.max() <= 1e-12
    chunk = sample.gathered()
    x, y = (v.squeeze(1) - v.squeeze(1).mean(0) for v in (chunk.x, chunk.y))
    for t in range(3):
        _, expected, _ = linear_model.lasso_path(
            x.numpy(), y[:, t].numpy(), alphas=path[t].numpy() / 2, tol=1e-14,
            max_iter=100_000,
        )  # fmt: skip
        np.testing.assert_allclose(found[t], expected.T, rtol=0, atol=3e-6)
        assert found[t, 0].abs().max() < 1e-12 and found[t, 1].any()


@given(
    n_models=st.integers(4, 40),
    n_train=st.integers(1, 30),
    share=st.floats(0.01, 0.9),
    seed=st.integers(0, 10_000),
    alone=st.booleans(),
)
def test_every_solution_meets_the_optimality_conditions(
    n_models: int, n_train: int, share: float, seed: int, alone: bool
) -> None:
    # |2 X'(y - Xb)/m| <= lambda, with equality and the sign of b where b is not 0.
    x, y = normal(n_models, n_train, seed=seed), normal(n_models, 2, seed=seed + 1)
    whole = moments(independent_rows(x, y))
    gram, cross = whole.gram, whole.cross
    penalty = share * 2 * cross.abs().amax(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batched, "_NARROW", float(alone))
        found = solve(
            Gram(gram), cross, whole.output_squares, penalty, torch.zeros_like(cross),
            1e-10,
        )  # fmt: skip
    assert found.gaps.max() <= 1e-10
    beta = found.coefficients
    pull = 2 * (cross - gram @ beta)
    slack = 1e-4 * cross.abs().amax(0)
    assert (pull.abs() <= penalty + slack).all()
    signed = (pull - penalty * beta.sign()).abs()
    assert (signed <= slack)[beta != 0].all()


@pytest.mark.parametrize("rule", [Lasso(patience=40), Lasso(selection=KFold(folds=3))])
def test_a_fit_is_that_of_the_compiled_engine(
    rule: Lasso, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = study(120, 30, 5)
    expected = rule.fit(sample)
    monkeypatch.setattr(engine, "_is_compiled_for", lambda device: False)
    found = rule.fit(sample)
    assert torch.equal(found.penalty, expected.penalty)
    assert len(found.penalty.unique()) > 1
    torch.testing.assert_close(
        found.coefficients, expected.coefficients, rtol=0, atol=3e-3
    )
    assert found.certificate is not None
    assert found.certificate.value.max() <= 1e-6


def test_a_path_in_pieces_is_the_path(
    elsewhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = study(60, 20, 5)
    path = penalty_path(moments(sample).cross, 6, 0.05)
    whole, gaps = lasso_path(sample, path, tolerance=1e-10)
    for compiled in (False, True):
        # Two targets at a time.
        monkeypatch.setattr(engine, "_is_compiled_for", lambda _, on=compiled: on)
        monkeypatch.setattr(batched, "_AT_ONCE", 2 * 20)
        monkeypatch.setattr(engine, "_AT_ONCE", 2 * 20 * 6)
        seen = torch.zeros(5, 6)
        for point in iter_lasso_path(sample, path, tolerance=1e-10):
            assert len(point.targets) <= 2
            seen[point.targets, point.place] += 1
            solved = point.solved
            torch.testing.assert_close(
                solved.coefficients, whole[point.targets, point.place].T,
                rtol=0, atol=1e-4,
            )  # fmt: skip
            assert solved.gaps.max() <= 1e-10
        assert torch.equal(seen, torch.ones(5, 6))
    assert gaps.max() <= 1e-10


def test_corrections_in_16_bits_alone_reach_what_16_bits_cannot_hold(
    monkeypatch: pytest.MonkeyPatch, narrow: float
) -> None:
    # Coefficients in 16 bits have 3 digits; their corrections need no more.
    whole = moments(study(200, 20, 4))
    penalty = 0.05 * 2 * whole.cross.abs().amax(0)
    gram = Gram(whole.gram)
    gram.precisions = [torch.bfloat16]
    found = solve(
        gram, whole.cross, whole.output_squares, penalty,
        torch.zeros_like(whole.cross), 1e-13,
    )  # fmt: skip
    assert found.gaps.max() <= 1e-13
    assert (found.overall == 0) == (narrow == 1.0)
    rounded = found.coefficients.bfloat16().double()
    coarse = duality_gap(
        whole.gram, whole.cross, whole.output_squares, rounded, penalty
    )
    assert coarse.min() > 1e-9


def test_gaps_are_those_of_the_coefficients_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Stopped early: some targets are done, others say how far they got.
    whole = moments(study(60, 40, 6))
    penalty = torch.linspace(0.01, 0.9, 6) * 2 * whole.cross.abs().amax(0)
    monkeypatch.setattr(batched, "_MOST_ROUNDS", 2)
    found = solve(
        Gram(whole.gram), whole.cross, whole.output_squares, penalty.double(),
        torch.zeros_like(whole.cross), 1e-6,
    )  # fmt: skip
    expected = duality_gap(
        whole.gram, whole.cross, whole.output_squares, found.coefficients, penalty
    )
    torch.testing.assert_close(found.gaps, expected, rtol=0, atol=1e-14)
    assert found.gaps.max() > 1e-6 > found.gaps.min()


def test_held_out_errors_lengths_and_patience() -> None:
    sample = study(150, 12, 4)
    out = torch.arange(150) % 3 == 0
    held, rest = moments_of(sample.only(out)), moments_of(sample.only(~out))
    centre = rest.columns
    whole = scaled(rest.centred(), sample.shift)
    apart = scaled(held.about(centre.x_mean, centre.y_mean), None)
    path = penalty_path(whole.cross, 15, 1e-3)
    chunk = sample.gathered()
    x, y = chunk.x.squeeze(1), chunk.y.squeeze(1)
    x, y = (v[out] - v[~out].mean(0) for v in (x, y))
    lengths, errors = torch.tensor([15, 3, 0, 15]), torch.full((4, 15), torch.inf)
    errors = errors.double()
    for point in walk(whole, path, lengths, 1e-8, held=apart, patience=3):
        rows = y[:, point.targets] - x @ point.solved.coefficients
        assert point.errors is not None
        torch.testing.assert_close(point.errors, rows.square().mean(0))
        errors[point.targets, point.place] = point.errors
    assert errors.isfinite().sum(1)[1:3].tolist() == [3, 0]
    for t in (0, 3):
        reached = errors[t][errors[t].isfinite()]
        least = reached.cummin(0).values
        above = (reached[1:] > least[:-1]).tolist()
        assert all(above[-3:]) and not any(
            all(above[k : k + 3]) for k in range(len(above) - 3)
        )
        assert len(reached) < 15


def test_sparse_products_are_dense_ones() -> None:
    whole = moments(study(60, 40, 6))
    few = torch.zeros(40, 300).double()
    few[3, 7], few[39, 7], few[0, 299] = 2.0, -1.0, 0.5
    for coefficients in (few, normal(40, 3, seed=1), torch.zeros(40, 2).double()):
        torch.testing.assert_close(
            Gram(whole.gram).times(coefficients), whole.gram @ coefficients
        )


@pytest.mark.parametrize(("n_models", "n_train"), [(400, 200), (40, 200), (10, 1)])
def test_no_eigenvalue_is_above_the_bound(n_models: int, n_train: int) -> None:
    # Steps stay stable up to 4/3 of it; the bound itself is rarely short.
    for seed in range(5):
        exact = moments(study(n_models, n_train, 1, seed=seed)).gram
        largest = torch.linalg.eigvalsh(exact)[-1].item()
        assert largest <= Gram(exact).largest_eigenvalue <= 1.06 * largest


@pytest.mark.parametrize("most", [2**20, 50, 1])
def test_sets_are_what_was_marked(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working_sets, "_AT_ONCE", most)
    marked = torch.rand(9, 7, generator=generator(1)) < 0.4
    marked[:, 2] = False
    values, gram = normal(9, 7, seed=1), normal(9, 9, seed=2)
    gram = gram + gram.T
    targets, seen, moved = torch.tensor([0, 2, 3, 6]), [], values.clone()
    for sets in working_sets.working_sets(marked, targets):
        seen += sets.targets.tolist()
        width = sets.members.shape[1]
        assert len(sets.targets) * width**2 <= max(most, width**2)
        gathered = sets.gathered(values)
        parts = sets.matrices(gram, torch.float64)
        for k, target in enumerate(sets.targets.tolist()):
            members = marked[:, target].nonzero().flatten()
            n = len(members)
            assert torch.equal(sets.members[k, :n], members)
            assert torch.equal(gathered[k, :n, 0], values[members, target])
            assert not gathered[k, n:].any()
            assert torch.equal(parts[k, :n, :n], gram[members][:, members])
            assert not parts[k, n:].any() and not parts[k, :, n:].any()
        sets.add_to(moved, torch.ones_like(gathered))
    assert sorted(seen) == targets.tolist()
    mine = torch.zeros(7, dtype=torch.bool)
    mine[targets] = True
    assert torch.equal(moved - values == 0, ~(marked & mine))


def test_sums_of_16_bit_factors_have_32_bits() -> None:
    # 300 ones sum to 300, which 16 bits would round to 256 at each step.
    ones = torch.ones(1, 300, 300, dtype=torch.bfloat16)
    found = fast_product(ones, torch.ones(1, 300, 2).double())
    assert (found == 300).all()
    assert found.dtype == torch.float64


def test_a_device_without_32_bit_sums_is_given_no_16_bit_factors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu, tried = torch.device("cpu"), sums_bfloat16.__wrapped__
    assert not tried(cpu)  # which has no such product
    assert torch.bfloat16 not in Gram(torch.eye(2).double()).precisions
    whole = torch.bmm

    def sums(dtype: torch.dtype) -> Callable[..., Tensor]:
        return lambda a, b, out_dtype: whole(a.to(dtype), b.to(dtype)).to(out_dtype)

    monkeypatch.setattr(torch, "bmm", sums(torch.float32))
    assert tried(cpu)
    monkeypatch.setattr(torch, "bmm", sums(torch.bfloat16))
    assert not tried(cpu)


def test_precision_is_raised_only_where_a_round_gains_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = moments(study(60, 20, 3))
    gram, used = Gram(whole.gram), []
    move: Callable[..., Any] = batched._move

    def idle(*arguments, precision, longer):
        used.append(precision)
        if precision == torch.float64:
            return move(*arguments, precision=precision, longer=longer)
        return 0

    monkeypatch.setattr(batched, "_move", idle)
    gram.precisions = [torch.bfloat16, torch.float32, torch.float64]
    penalty = 0.2 * 2 * whole.cross.abs().amax(0)
    found = solve(
        gram, whole.cross, whole.output_squares, penalty,
        torch.zeros_like(whole.cross), 1e-6,
    )  # fmt: skip
    assert used[:3] == gram.precisions
    assert set(used[3:]) <= {torch.float64}
    assert found.gaps.max() <= 1e-6

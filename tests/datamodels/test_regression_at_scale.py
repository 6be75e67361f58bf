"""The benchmark of regressions at scale: its peer solves the problem, its lines run."""

from dataclasses import replace

import pytest
import torch
from samples import normal
from torch import Tensor

from benchmarks import regression_at_scale
from benchmarks.saga import Saga
from dmtheory.datamodels.lasso import batched
from dmtheory.datamodels.lasso.batched import solve
from dmtheory.datamodels.lasso.correction import corrections
from dmtheory.datamodels.lasso.gram import Gram, fast_product
from dmtheory.datamodels.lasso.scaling import scaled
from dmtheory.datamodels.lasso.working_sets import WorkingSets
from dmtheory.datamodels.rows import integers, moments, regression
from dmtheory.datamodels.rows.cholesky import solve_in_place
from dmtheory.datamodels.rows.moments import moments_of
from dmtheory.datamodels.rows.sample import independent_rows
from dmtheory.designs import (
    AntitheticPairs,
    Bernoulli,
    ComplementaryPairs,
    DisjointBlocks,
    FixedSize,
    SubsetDesign,
)

TINY = replace(
    regression_at_scale.REHEARSAL,
    n_train=40,
    n_targets=6,
    tall=90,
    wide=20,
    penalties=5,
    beside=3,
    patience=0.05,
)


def test_saga_solves_the_problem_that_its_gap_is_of() -> None:
    masks = Bernoulli(p=0.5, seed=1).weights(torch.arange(200), 15)
    outputs = masks @ normal(15, 3, seed=1) + normal(200, 3, seed=2)
    whole = scaled(moments_of(independent_rows(masks, outputs)).centred(), None)
    penalty = 0.1 * 2 * whole.cross.abs().amax(0)
    expected = solve(
        Gram(whole.gram), whole.cross, whole.output_squares, penalty,
        torch.zeros_like(whole.cross), 1e-12,
    ).coefficients  # fmt: skip
    saga = Saga(
        masks=masks.to(torch.int8),
        outputs=outputs - outputs.mean(0),
        alpha=penalty / 2,
        deviation=0.5,
        step=0.02,
        batch=10,
    )
    epochs = saga.epochs()
    for _ in range(40):
        found = next(epochs)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-3)
    assert (expected == 0).any() and (expected != 0).any()


def test_every_line_of_the_benchmark_runs() -> None:
    found = regression_at_scale.measure(TINY, torch.device("cpu"))
    assert found["lasso"]["columns certified"] == found["lasso"]["columns"] == 30
    for way in ("more", "fewer"):
        part = found[f"ridge, {way} models than examples"]
        assert part["largest relative residual"] < 1e-10
    curves = found["at one penalty"]["curves"]
    assert len(curves) == 3
    for curve in curves.values():
        assert curve[-1]["gap"] < curve[0]["gap"]


def test_the_full_size_is_refused_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["regression_at_scale"])
    with pytest.raises(SystemExit):
        regression_at_scale.main()
    assert "the full size needs a GPU" in capsys.readouterr().err


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """Return a device whose tensors have no data and refuse to mix with others.

    What looks at values is replaced; the rest is what a GPU runs.
    """

    def doubled(x):
        padded = integers._padded(x)
        padded[: x.shape[0], : x.shape[1]].copy_(2 * x)
        return integers.Integers(padded, 2)

    def blocks_of_four(ids, return_inverse):
        numbers = torch.arange(len(ids), device=ids.device) // 4
        return numbers[::4], numbers

    monkeypatch.setattr(torch, "unique", blocks_of_four)
    monkeypatch.setattr(moments, "doubled_integers", doubled)
    for module in (integers, moments):
        monkeypatch.setattr(module, "sums_integers", lambda device: True)
    return torch.device("meta")


def empty(*shape: int, device: torch.device) -> Tensor:
    return torch.empty(*shape, dtype=torch.float64, device=device)


def test_moments_and_solutions_stay_where_the_rows_are(
    elsewhere: torch.device,
) -> None:
    with pytest.raises(RuntimeError, match="expected device"):
        empty(3, device=elsewhere) + torch.ones(3)
    x, y = empty(64, 40, device=elsewhere), empty(64, 70, device=elsewhere)
    found = moments_of(independent_rows(x, y)).centred()
    assert found.gram.device == found.cross.device == elsewhere
    solve_in_place(found.gram, found.cross)


@pytest.mark.parametrize(
    "design",
    [
        Bernoulli(p=0.5),
        FixedSize(size=3),
        ComplementaryPairs(),
        AntitheticPairs(p=0.3),
        DisjointBlocks(parts=2),
    ],
)
def test_masks_are_made_where_their_numbers_are(
    design: SubsetDesign, elsewhere: torch.device
) -> None:
    found = regression._weights(design, torch.arange(8, device=elsewhere), 12)
    assert found.device == elsewhere
    assert found.shape == (8, 12)


def test_corrections_stay_where_the_gram_matrix_is(elsewhere: torch.device) -> None:
    matrix = empty(40, 40, device=elsewhere)
    gram = Gram(matrix)
    gram._largest = 1.0
    values, alpha = empty(40, 7, device=elsewhere), empty(7, device=elsewhere)
    places = torch.zeros(3, 5, dtype=torch.int64, device=elsewhere)
    sets = WorkingSets(places[:, 0], places, places == 0)
    found = batched._within(gram, sets, values, values, alpha, torch.bfloat16, 1)
    assert found.device == elsewhere
    whole = corrections(
        lambda moves: fast_product(matrix[None].bfloat16(), moves),
        values[None],
        values[None],
        alpha[None, None],
        empty(1, 1, 1, device=elsewhere),
        steps=2,
    )
    assert whole.device == elsewhere

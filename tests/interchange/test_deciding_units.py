"""Raw or standardised: what held-out rows can tell, and what they cannot."""

import numpy as np
import pytest
import torch

from dmtheory.interchange import (
    ImportedRuns,
    Standardisation,
    Tags,
    UnitsChoice,
    decide_units,
)
from dmtheory.interchange.imported import deciding_units
from dmtheory.interchange.imported.rows import ArrayRows

N, M, P = 30, 400, 0.5
NOISE = 0.1


def slope_of(total: float) -> np.ndarray:
    """Return coefficients of variance 1 and this sum."""
    drawn = np.random.default_rng(3).normal(size=(N, 1))
    drawn = (drawn - drawn.mean()) / drawn.std()
    return drawn + total / N


def some_runs(slope: np.ndarray, *, repeats: int = 1, n: int = M) -> ImportedRuns:
    rng = np.random.default_rng(5)
    masks = rng.random((n, N)) < P
    outputs = 2 + masks @ slope + NOISE * rng.normal(size=(n, 1))
    tags = Tags(source="test", problem="p", output="margin")
    return ImportedRuns.of(
        ArrayRows(masks.repeat(repeats, axis=0)),
        ArrayRows(outputs.repeat(repeats, axis=0)),
        tags,
    )


BY = Standardisation(
    mean=torch.full((N,), P).double(),
    deviation=torch.full((N,), (P * (1 - P)) ** 0.5).double(),
)


def decided(runs: ImportedRuns, weight: np.ndarray, bias: float) -> UnitsChoice:
    return decide_units(
        torch.from_numpy(weight), torch.tensor([bias]).double(), held_out=runs, by=BY
    )


def level_of(slope: np.ndarray) -> float:
    return float(2 + P * slope.sum())


@pytest.mark.parametrize("total", [0.0, 3.0])
@pytest.mark.parametrize("units", ["raw", "standardised"])
def test_coefficients_that_were_not_shrunk_are_told(total: float, units: str) -> None:
    slope = slope_of(total)
    stored = slope if units == "raw" else slope / 2
    found = decided(
        some_runs(slope), stored, 2.0 if units == "raw" else level_of(slope)
    )
    assert found.units == units
    # The variance of the outputs is N/4 and more; the noise's is 0.01.
    assert found.r_squared[units] > 0.995
    other = {"raw": "standardised", "standardised": "raw"}[units]
    assert found.slope[units] == pytest.approx(1.0, abs=0.01)
    assert found.slope[other] == pytest.approx(2 if other == "raw" else 0.5, rel=0.01)
    assert f"read as {units}" in str(found) and "slope 1.00" in str(found)


def test_shrunken_coefficients_are_not_taken_for_standardised_ones() -> None:
    """Halved raw ones fit better doubled; only their level speaks against it."""
    slope = slope_of(3.0)
    halved = slope / 2
    # An intercept that was fitted puts the mean right whatever the slopes.
    bias = level_of(slope) - P * halved.sum()
    runs = some_runs(slope)
    y = runs.all_rows()[1].numpy()
    x = runs.all_rows()[0].numpy()
    raw = ((y - bias - x @ halved) ** 2).sum()
    standardised = ((y - bias - (x - P) @ slope) ** 2).sum()
    assert standardised < 0.5 * raw
    with pytest.raises(ValueError, match=r"squared errors say standardised.*levels"):
        decided(runs, halved, bias)


def test_a_slope_between_the_readings_decides_nothing() -> None:
    slope = slope_of(0.0)
    # Off by the root of 2 from either reading, and no level to tell.
    with pytest.raises(ValueError, match=r"1\.4\d as raw|0\.7\d as standardised"):
        decided(some_runs(slope), slope / 2**0.5 * 0.98, level_of(slope))


def test_a_level_decides_where_slopes_do_not() -> None:
    slope = slope_of(8.0)
    shrunk = slope / 1.4
    found = decided(some_runs(slope), shrunk, level_of(slope) - P * shrunk.sum())
    assert found.units == "raw" and found.slope["raw"] == pytest.approx(1.4, rel=0.01)


def test_rows_of_one_mask_count_once() -> None:
    slope = slope_of(1.0)
    once = decided(some_runs(slope, n=40), slope, 2.0)
    often = decided(some_runs(slope, n=40, repeats=5), slope, 2.0)
    assert (once.n_rows, often.n_rows) == (40, 200)
    assert once.n_masks == often.n_masks == 40
    # Repeating rows adds no certainty.
    assert often.difference.low == pytest.approx(once.difference.low)
    assert often.difference.high == pytest.approx(once.difference.high)
    with pytest.raises(ValueError, match="at least 10 masks to tell units, got 8"):
        decided(some_runs(slope, n=8, repeats=5), slope, 2.0)
    with pytest.raises(ValueError, match="at least 10 masks to tell units, got 1"):
        decided(some_runs(slope, n=2, repeats=20).rows(0, 20), slope, 2.0)


def test_targets_are_judged_together_however_they_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(1)
    slope = rng.normal(size=(N, 5))
    masks = (rng.random((60, N)) < P).repeat(2, axis=0)
    outputs = masks @ slope + rng.normal(size=(120, 5))
    tags = Tags(source="test", problem="p", output="margin")
    runs = ImportedRuns.of(ArrayRows(masks), ArrayRows(outputs), tags)
    stored = torch.from_numpy(slope), torch.zeros(5).double()
    whole = decide_units(*stored, held_out=runs, by=BY)
    monkeypatch.setattr(deciding_units, "_ENTRIES", 2 * 120)
    parts = decide_units(*stored, held_out=runs, by=BY)
    assert parts.units == whole.units == "raw"
    assert parts.r_squared == pytest.approx(whole.r_squared)
    assert parts.slope == pytest.approx(whole.slope)
    assert parts.difference.low == pytest.approx(whole.difference.low)
    # By hand, over masks and targets together.
    error = ((outputs - masks @ slope) ** 2).sum()
    spread = ((outputs - outputs.mean(0)) ** 2).sum()
    assert whole.r_squared["raw"] == pytest.approx(1 - error / spread)

"""Attributions on disk: whole or not at all, and nothing that needs unpickling."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import an_attribution, normal

from dmtheory import Attribution, files
from dmtheory.files import load_attribution, load_matrix, save_attribution


def estimate() -> Attribution:
    units = normal(5, 4, 2, seed=0)
    made = an_attribution(
        units.mean(0),
        units=units,
        stderr=units.std(0) / 5**0.5,
        unit="per_epsilon",
        seeds=frozenset({2**63 + 1, 3}),
        n_train=9,
    )
    return replace(
        made,
        intercept=normal(2, seed=1),
        n_models=10,
        method="by hand",
        train_labels=tuple("aβ?!"),
    )


def test_an_attribution_survives_its_file_bit_for_bit(tmp_path: Path) -> None:
    before, path = estimate(), tmp_path / "scores.npz"
    save_attribution(before, path)
    after = load_attribution(path)
    for name in ("scores", "stderr", "units", "intercept"):
        assert torch.equal(getattr(after, name), getattr(before, name))
    for name in (
        "estimand",
        "train_labels",
        "target_labels",
        "n_train",
        "n_models",
        "seeds",
        "method",
    ):
        assert getattr(after, name) == getattr(before, name)
    assert [p.name for p in tmp_path.iterdir()] == ["scores.npz"]


def test_what_is_unknown_stays_unknown(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    save_attribution(an_attribution(normal(3, 2, seed=0)), path)
    after = load_attribution(path)
    assert (after.stderr, after.units, after.intercept) == (None, None, None)


def test_a_file_can_be_read_without_the_package_or_pickle(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    save_attribution(estimate(), path)
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["scores"], estimate().scores)


def test_large_units_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_MAX_UNIT_BYTES", 8 * 39)
    path = tmp_path / "scores.npz"
    save_attribution(estimate(), path)
    assert load_attribution(path).units is None


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scores.npz"
    save_attribution(estimate(), path)
    old = path.read_bytes()

    def full_disk(file: object, **arrays: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save_attribution(estimate(), path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["scores.npz"]


def test_a_file_that_is_no_attribution_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    with pytest.raises(ValueError, match="file must exist, got"):
        load_attribution(path)
    save_attribution(estimate(), path)
    for damaged in (path.read_bytes()[:200], b"", b"not a file of arrays"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"scores\.npz"):
            load_attribution(path)
    np.savez(path, scores=np.ones((2, 2)))
    with pytest.raises(ValueError, match="must be an attribution file of dmtheory"):
        load_attribution(path)


def test_a_matrix_is_read_without_unpickling(tmp_path: Path) -> None:
    path = tmp_path / "masks.npy"
    np.save(path, np.eye(3))
    np.testing.assert_array_equal(load_matrix(path), np.eye(3))
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"masks\.npy must be a \.npy array"):
        load_matrix(path)
    with pytest.raises(ValueError, match="file must exist, got"):
        load_matrix(tmp_path / "nothing.npy")

"""`--check`: what a folder of the release says of itself, file by file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_release import EVALUATION, FIT, N_TRAIN, write_release

from dmtheory.interchange import check_release
from dmtheory.interchange.release import published


def levels(findings: object) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for finding in findings:  # type: ignore[attr-defined]
        found.setdefault(Path(finding.file).name, set()).add(finding.level)
    return found


def test_a_sound_folder_has_no_bad_finding(tmp_path: Path) -> None:
    write_release(tmp_path)
    seen: list[tuple[str, int, int]] = []
    findings = check_release(tmp_path, progress=lambda *step: seen.append(step))
    assert levels(findings) == {
        "test_50pct.pt": {"good"},
        "test_logits_50pct.npy": {"good"},
        "test_margins_50pct.npy": {"good"},
        "train_margins_50pct.npy": {"good"},
        "train_masks_50pct.npy": {"good"},
        "*_50pct": {"noted"},
    }
    texts = [finding.text for finding in findings]
    assert any("fixed size(0.5)" in text for text in texts)
    assert "520 models, n_test = 5, n_train = 24: no data set of the release" in texts
    # Every matrix was read to its last row.
    n = FIT + EVALUATION
    assert {Path(name).name for name, done, total in seen if done == total == n} == {
        name for name in levels(findings) if name.endswith(".npy")
    }


def test_published_counts_are_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_release(tmp_path)
    n = FIT + EVALUATION
    for models, level in ((n - published.EVALUATION_MODELS, "good"), (7, "noted")):
        made_up = published.Published(
            name="cifar",
            n_train=N_TRAIN,
            n_test=5,
            models={50: models},
            has_logits=True,
        )
        monkeypatch.setitem(published.DATASETS, "cifar", made_up)
        findings = check_release(tmp_path)
        assert findings[-1].level == level
        assert f"{n} models" in findings[-1].text


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("train_masks", lambda a: a.astype(np.uint8), "entries are uint8"),
        ("train_masks", lambda a: a | (np.arange(N_TRAIN) < 9), "of another fraction"),
        ("test_margins", lambda a: a.astype(np.float32), "entries are float32"),
        ("test_margins", lambda a: a[:-3], r"files have \[517, 520\] rows"),
        (
            "test_margins",
            lambda a: np.where(np.arange(len(a))[:, None] == 88, np.nan, a).astype(
                "f2"
            ),
            "1 rows are not finite, the first is row 88",
        ),
        ("test_logits", lambda a: a[:, :, 0], "must have 3 axes"),
    ],
)
def test_what_is_wrong_is_found(
    tmp_path: Path, name: str, change: object, match: str
) -> None:
    write_release(tmp_path)
    path = tmp_path / "cifar" / "data" / f"{name}_50pct.npy"
    np.save(path, change(np.load(path)))  # type: ignore[operator]
    bad = [f for f in check_release(tmp_path) if f.level == "bad"]
    assert len(bad) == 1
    with pytest.raises(AssertionError, match=match):
        raise AssertionError(bad[0].text)
    assert "\n" not in bad[0].text


def test_damaged_weights_are_found(tmp_path: Path) -> None:
    write_release(tmp_path)
    path = tmp_path / "cifar" / "datamodels" / "test_50pct.pt"
    sound = torch.load(path, weights_only=True)
    content = path.read_bytes()
    for change, match in (
        ({"bias": torch.ones(3)}, "bias and lam have (3, 5) entries"),
        ({"weight": torch.full((N_TRAIN, 5), torch.nan)}, "not finite"),
        ({"weight": torch.ones(5)}, "must have 2 axes"),
    ):
        torch.save({**sound, **change}, path)
        (found,) = check_release(path)
        assert found.level == "bad" and match in found.text
    path.write_bytes(content[:-200])
    (found,) = check_release(path)
    assert found.level == "bad"
    torch.save({key: value.double() for key, value in sound.items()}, path)
    assert [f.level for f in check_release(path)] == ["noted", "good"]


def test_other_files_are_not_guessed_at(tmp_path: Path) -> None:
    np.save(tmp_path / "masks.npy", np.ones((2, 2)))
    with pytest.raises(ValueError, match="must hold files of the release"):
        check_release(tmp_path)

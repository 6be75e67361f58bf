"""The release: layout, lazy reading, tags, units of its weights, and its table."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_release import (
    EVALUATION,
    FIT,
    N_TEST,
    N_TRAIN,
    write_release,
)

from dmtheory import OLS, DifferenceOfMeans, Point, fit_datamodel, lds
from dmtheory.agreement.prediction import held_out_prediction
from dmtheory.designs import FixedSize
from dmtheory.interchange import (
    evaluation_of_runs,
    fit_imported,
    load_release_datamodel,
    margin_formula,
    open_release,
    open_release_logits,
    responses_of_runs,
)
from dmtheory.interchange.imported import runs as runs_module
from dmtheory.interchange.release import published

HELD_OUT = (FIT, FIT + EVALUATION)


@pytest.mark.parametrize("flat", [False, True])
def test_opening_tags_what_the_numbers_are(tmp_path: Path, flat: bool) -> None:
    written = write_release(tmp_path, flat=flat)
    runs = open_release(tmp_path, dataset="cifar", percent=50, held_out=HELD_OUT)
    assert runs.tags.output == "max-margin"
    assert runs.tags.sign == "as stored"
    assert runs.tags.law == Point("subsets", 0.5, "fixed size")
    assert runs.tags.held_out == HELD_OUT
    assert (runs.tags.normalisation, runs.tags.step_policy) == ("sum", "proportional")
    # It is no release of 310,000 models, and says so.
    assert any("310000 of 50000" in note for note in runs.tags.notes)
    masks, outputs = runs.all_rows()
    assert np.array_equal(masks.numpy(), written.masks)
    assert np.array_equal(outputs.numpy(), written.margins.astype(np.float64))


def test_only_the_rows_that_are_asked_for_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write_release(tmp_path)
    read: list[tuple[int, int]] = []
    plain = runs_module.read_numbers

    def spying(rows: object, numbers: np.ndarray) -> np.ndarray:
        read.append((int(numbers[0]), int(numbers[-1])))
        return plain(rows, numbers)  # type: ignore[arg-type]

    runs = open_release(tmp_path, dataset="cifar", percent=50).rows(100, 130)
    monkeypatch.setattr(runs_module, "read_numbers", spying)
    masks, outputs = runs.targets(1, 3).all_rows()
    assert np.array_equal(masks.numpy(), written.masks[100:130])
    assert np.array_equal(outputs.numpy(), written.margins[100:130, 1:3])
    assert read == [(100, 129)] * 2


def test_a_split_is_disjoint_and_complete(tmp_path: Path) -> None:
    write_release(tmp_path)
    runs = open_release(tmp_path, dataset="cifar", percent=50)
    # Held-out rows in the middle: those around them are fitted.
    fitted, held_out = runs.split((50, 90))
    assert held_out.numbers.tolist() == list(range(50, 90))
    assert fitted.numbers.tolist() == [*range(50), *range(90, FIT + EVALUATION)]
    with pytest.raises(ValueError, match="held_out must name rows"):
        runs.split()


def test_a_streamed_fit_is_that_of_the_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write_release(tmp_path)
    # Blocks of 10 rows, the last of another length; never more are read at once.
    monkeypatch.setattr(runs_module, "_BLOCK_ENTRIES", 10 * N_TRAIN)
    plain, most = runs_module.read_numbers, []

    def counting(rows: object, numbers: np.ndarray) -> np.ndarray:
        most.append(len(numbers))
        return plain(rows, numbers)  # type: ignore[arg-type]

    monkeypatch.setattr(runs_module, "read_numbers", counting)
    runs = open_release(tmp_path, dataset="cifar", percent=50, held_out=HELD_OUT)
    fitted, _ = runs.split()
    fitted = fitted.rows(0, FIT - 3)
    for estimator in (OLS(), DifferenceOfMeans()):
        ours = fit_imported(fitted, estimator=estimator)
        whole = fit_datamodel(
            written.masks[: FIT - 3],
            written.margins[: FIT - 3].astype(np.float64),
            design=FixedSize(size=N_TRAIN // 2, n_models=FIT - 3),
            estimator=estimator,
        )
        assert torch.allclose(ours.scores, whole.scores, atol=1e-10)
        assert ours.intercept is not None and whole.intercept is not None
        assert torch.allclose(ours.intercept, whole.intercept, atol=1e-10)
        assert ours.estimand.point == whole.estimand.point
        assert ours.n_models == FIT - 3
    assert max(most) == 10
    # An independent solution: centred coefficients of numpy's least squares.
    x = written.masks[: FIT - 3] - written.masks[: FIT - 3].mean(0)
    y = written.margins[: FIT - 3].astype(np.float64)
    theirs = np.linalg.lstsq(x, y - y.mean(0), rcond=None)[0]
    ours = fit_imported(fitted)
    assert np.allclose(ours.scores.numpy(), theirs - theirs.mean(0), atol=1e-9)


@pytest.mark.parametrize("standardised", [False, True])
def test_weights_are_told_raw_from_standardised(
    tmp_path: Path, standardised: bool
) -> None:
    written = write_release(tmp_path, standardised=standardised)
    runs = open_release(tmp_path, dataset="cifar", percent=50, held_out=HELD_OUT)
    found = load_release_datamodel(tmp_path, dataset="cifar", percent=50, runs=runs)
    assert ("read as standardised" in found.method) == standardised
    # Half- and single-precision rounding apart, the truth in units of the raw mask.
    assert np.allclose(found.scores.numpy(), written.slope, atol=1e-5)
    assert found.intercept is not None
    assert np.allclose(found.intercept.numpy(), written.level, atol=1e-4)
    assert found.estimand.unit == "per_weight"
    held_out = evaluation_of_runs(runs.split()[1])
    # Noise of 0.09 against a variance of 24/4: R^2 of the truth is .985.
    assert held_out_prediction(found, held_out).r_squared.low > 0.95
    assert lds(found, held_out).mean.value > 0.95


def test_the_law_standardises_nearly_as_the_masks_do(tmp_path: Path) -> None:
    written = write_release(tmp_path, standardised=True)
    runs = open_release(tmp_path, dataset="cifar", percent=50, held_out=HELD_OUT)
    found = load_release_datamodel(
        tmp_path, dataset="cifar", percent=50, runs=runs, read_masks=False
    )
    # Deviations of 400 rows are within 1 % of 1/2; the slope is off by that factor.
    by_law = written.slope * written.deviation[:, None] / 0.5
    assert np.allclose(found.scores.numpy(), by_law, atol=1e-5)
    assert not np.allclose(found.scores.numpy(), written.slope, atol=1e-5)


def test_weights_of_other_files_are_refused(tmp_path: Path) -> None:
    write_release(tmp_path / "a", seed=0)
    write_release(tmp_path / "b", seed=1)
    runs = open_release(tmp_path / "a", dataset="cifar", percent=50, held_out=HELD_OUT)
    with pytest.raises(ValueError, match="belong together"):
        load_release_datamodel(tmp_path / "b", dataset="cifar", percent=50, runs=runs)


def test_a_few_rows_of_noise_do_not_decide_units(tmp_path: Path) -> None:
    write_release(tmp_path, noise=30.0)
    runs = open_release(tmp_path, dataset="cifar", percent=50, held_out=(400, 412))
    with pytest.raises(ValueError, match=r"tell raw|belong together"):
        load_release_datamodel(tmp_path, dataset="cifar", percent=50, runs=runs)
    stated = load_release_datamodel(
        tmp_path, dataset="cifar", percent=50, runs=runs, units="raw"
    )
    assert "stated to be raw" in stated.method


def test_targets_choose_columns_of_weights_and_margins(tmp_path: Path) -> None:
    written = write_release(tmp_path)
    runs = open_release(tmp_path, dataset="cifar", percent=50, held_out=HELD_OUT)
    some = runs.targets(2, 4)
    found = load_release_datamodel(tmp_path, dataset="cifar", percent=50, runs=some)
    assert found.target_labels == ("target 2", "target 3")
    assert np.allclose(found.scores.numpy(), written.slope[:, 2:4], atol=1e-5)
    assert fit_imported(some.rows(0, FIT)).target_labels == found.target_labels


def test_scores_do_not_judge_the_models_that_made_them(tmp_path: Path) -> None:
    write_release(tmp_path)
    runs = open_release(tmp_path, dataset="cifar", percent=50)
    fitted = fit_imported(runs.rows(0, FIT))
    # One row too many is enough.
    with pytest.raises(ValueError, match="share no seeds"):
        lds(fitted, evaluation_of_runs(runs.rows(FIT - 1, FIT + EVALUATION)))
    lds(fitted, evaluation_of_runs(runs.rows(FIT, FIT + EVALUATION)))


def test_responses_read_masks_from_the_file(tmp_path: Path) -> None:
    written = write_release(tmp_path)
    runs = open_release(tmp_path, dataset="cifar", percent=50).rows(10, 300)
    responses = responses_of_runs(runs)
    assert np.array_equal(responses.weights().numpy(), written.masks[10:300])
    # Rows in any order, as a design is asked for them.
    some = responses.design.weights(torch.tensor([5, 0, 5]), N_TRAIN)
    assert np.array_equal(some.numpy(), written.masks[[15, 10, 15]])
    ours, streamed = fit_datamodel(responses), fit_imported(runs)
    assert torch.allclose(ours.scores, streamed.scores, atol=1e-10)


def test_margins_are_told_by_their_logits(tmp_path: Path) -> None:
    written = write_release(tmp_path)
    formula, left = margin_formula(tmp_path, dataset="cifar", percent=50)
    assert formula == "max-margin"
    # Half precision: 2^-11 of logits up to 16.
    assert left < 0.01
    runs = open_release_logits(
        tmp_path,
        classes=np.arange(N_TEST),
        dataset="cifar",
        percent=50,
        output="max-margin",
    )
    _, outputs = runs.rows(0, 20).all_rows()
    assert np.allclose(outputs.numpy(), written.margins[:20], atol=0.03)
    soft = open_release_logits(
        tmp_path, classes=np.arange(N_TEST), dataset="cifar", percent=50
    )
    assert soft.tags.output == "margin"
    # A log-sum-exp is larger than the largest of its terms.
    assert bool((soft.rows(0, 20).all_rows()[1] < outputs).all())


def test_a_margin_of_the_other_kind_is_told_too(tmp_path: Path) -> None:
    write_release(tmp_path)
    runs = open_release_logits(
        tmp_path, classes=np.arange(N_TEST), dataset="cifar", percent=50
    )
    _, soft = runs.all_rows()
    path = tmp_path / "cifar" / "data" / "test_margins_50pct.npy"
    np.save(path, soft.numpy().astype(np.float16))
    formula, _ = margin_formula(tmp_path, dataset="cifar", percent=50)
    assert formula == "margin"


def test_another_fraction_is_refused(tmp_path: Path) -> None:
    written = write_release(tmp_path)
    data = tmp_path / "cifar" / "data"
    np.save(data / "train_masks_20pct.npy", written.masks)
    np.save(data / "test_margins_20pct.npy", written.margins)
    with pytest.raises(ValueError, match=r"subsets of 0.2 of 24 examples, got 0.5"):
        open_release(tmp_path, dataset="cifar", percent=20)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train_masks_50pct.npy", lambda a: a.astype(np.uint8), "must hold bool"),
        ("test_margins_50pct.npy", lambda a: a.astype(np.float32), "hold float16"),
        ("test_margins_50pct.npy", lambda a: a[:-1], "one row a model"),
        ("test_margins_50pct.npy", lambda a: a[:, 0], "must have 2 axes"),
        ("train_masks_50pct.npy", lambda a: a[:0], "must hold rows"),
    ],
)
def test_wrong_matrices_are_refused(
    tmp_path: Path, name: str, change: object, message: str
) -> None:
    write_release(tmp_path)
    path = tmp_path / "cifar" / "data" / name
    np.save(path, change(np.load(path)))  # type: ignore[operator]
    with pytest.raises(ValueError, match=message) as found:
        open_release(tmp_path, dataset="cifar", percent=50)
    assert "\n" not in str(found.value)


def test_a_remote_file_is_read_by_byte_range(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    written = write_release(tmp_path)
    memory = fsspec.filesystem("memory")
    asked: list[tuple[int, int]] = []
    plain = memory.cat_file

    def counting(path: str, start: int, end: int) -> bytes:
        asked.append((start, end))
        return plain(path, start=start, end=end)

    memory.put(str(tmp_path / "cifar"), "/bucket/cifar", recursive=True)
    try:
        type(memory).cat_file, kept = staticmethod(counting), type(memory).cat_file
        runs = open_release("memory://bucket", dataset="cifar", percent=50)
        asked.clear()
        masks, outputs = runs.rows(7, 12).all_rows()
    finally:
        type(memory).cat_file = kept
        memory.rm("/bucket", recursive=True)
    assert np.array_equal(masks.numpy(), written.masks[7:12])
    assert np.array_equal(outputs.numpy(), written.margins[7:12])
    # A header of 128 bytes, then five rows of N bytes and of 2 T bytes.
    assert asked == [
        (128 + 7 * N_TRAIN, 128 + 12 * N_TRAIN),
        (128 + 14 * N_TEST, 128 + 24 * N_TEST),
    ]


# The README's columns, in units of 2^30 bytes though it says GB.
_LOGITS = {10: 1688, 20: 849, 50: 346, 75: 682}
_MATRICES = {10: 245, 20: 123, 50: 49, 75: 98}
_FMOW = {20: 25.4, 50: 10.6, 75: 21.2}


def test_the_published_table_of_sizes() -> None:
    for percent, stated in _LOGITS.items():
        assert abs(published.CIFAR.logit_bytes(percent) / 2**30 - stated) <= 0.6
    # Without the 10,000 rows for evaluation the smallest would be 335.3, not 346.
    without = published.CIFAR.logit_bytes(50) * 300 / 310 / 2**30
    assert abs(without - 346) > 10
    assert round(published.CIFAR.matrix_bytes(50) / 2**30) == _MATRICES[50]
    for sizes, stated in ((published.CIFAR, _MATRICES), (published.FMOW, _FMOW)):
        for percent, gigabytes in stated.items():
            excess = gigabytes / (sizes.matrix_bytes(percent) / 2**30) - 1
            # What is stated is never less than what the counts say, and by 5 % at most.
            assert -0.005 < excess < 0.05
    fmow = 3 * published.FMOW.weight_bytes("test") / 2**30
    assert round(fmow, 2) == 0.75
    # All fractions of the test split, the train split at 50 % alone; stated: 16.9.
    cifar = 4 * published.CIFAR.weight_bytes("test")
    cifar += published.CIFAR.weight_bytes("train")
    assert 16.7 < cifar / 2**30 < 16.9


def test_published_names_and_counts() -> None:
    assert published.mask_name(10) == "train_masks_10pct.npy"
    assert published.output_name("logits", "train", 75) == "train_logits_75pct.npy"
    assert published.weight_name("test", 20) == "test_20pct.pt"
    assert published.CIFAR.n_rows(10) == 1_510_000
    assert published.FMOW.n_rows(75) == 310_000
    with pytest.raises(ValueError, match="percent must be one of 20, 50, 75"):
        published.FMOW.n_rows(10)

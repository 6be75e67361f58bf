"""Stores, masks, outputs and scores of other libraries, in their own layout."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up_release import fixed_size_masks

from dmtheory import DifferenceOfMeans, Point, lds
from dmtheory.interchange import (
    ImportedRuns,
    evaluation_of_runs,
    fit_imported,
    load_datamodels_regression,
    load_feldman_zhang,
    load_kronfluence_scores,
    load_trak_scores,
    open_bergson,
    open_datamodels_store,
    open_dattri_lds,
    open_dattri_loo,
    open_feldman_zhang,
    open_kronfluence,
    open_quanda,
    open_trak,
    replicates_in,
)

N, T, M = 20, 4, 200
SLOPE = np.random.default_rng(7).normal(size=(N, T))


def made_up(
    *, seed: int = 1, size: int = N // 2, noise: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Return masks and outputs 1 + x SLOPE + noise."""
    rng = np.random.default_rng(seed)
    masks = fixed_size_masks(rng, M, N, size)
    return masks, masks @ SLOPE + 1 + noise * rng.normal(size=(M, T))


def kept_lists(masks: np.ndarray) -> np.ndarray:
    return np.stack([np.flatnonzero(mask) for mask in masks])


def assert_recovers(runs: ImportedRuns, *, atol: float = 0.1) -> None:
    """A fit finds the slope, up to the constant that a fixed size leaves open."""
    scores = fit_imported(runs).scores.numpy()
    assert np.allclose(scores, SLOPE - SLOPE.mean(0), atol=atol)


# The store and the regression of the datamodels code.


def write_store(folder: Path, completed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    masks, outputs = made_up()
    folder.mkdir()
    for name, values in (("masks", masks), ("margins", outputs.astype(np.float16))):
        blank = np.where(completed[:, None], values, np.zeros_like(values))
        np.save(folder / f"{name}.npy", blank)
    np.save(folder / "_completed.npy", completed)
    spec = {
        "num_models": M,
        "schema": {
            "masks": {"shape": [N], "dtype": "bool_"},
            "margins": {"shape": [T], "dtype": "float16"},
        },
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    return masks, outputs


LEVEL = np.arange(T) + 1.0


def write_regression(folder: Path, used: np.ndarray, targets: slice) -> Path:
    """Write coefficients of standardised masks, as the code does, of the true slope."""
    mean, deviation = used.mean(0), used.std(0)
    slope = SLOPE[:, targets]
    content = {
        "weight": torch.from_numpy(slope * deviation[:, None]).float(),
        "bias": torch.from_numpy(LEVEL[targets] + mean @ slope).float(),
        "lam": torch.full((slope.shape[1],), 1e-3),
    }
    torch.save(content, folder / "datamodels.pt")
    return folder / "datamodels.pt"


def test_only_completed_rows_of_a_store_count(tmp_path: Path) -> None:
    completed = np.random.default_rng(3).random(M) < 0.8
    masks, outputs = write_store(tmp_path / "store", completed)
    runs = open_datamodels_store(
        tmp_path / "store",
        problem="p",
        specification=tmp_path / "store" / "spec.json",
    )
    assert runs.numbers.tolist() == np.flatnonzero(completed).tolist()
    x, y = runs.all_rows()
    assert np.array_equal(x.numpy(), masks[completed])
    assert np.allclose(y.numpy(), outputs[completed], atol=0.01)
    # Rows of zeros would have made the sizes vary.
    assert runs.tags.law == Point("subsets", 0.5, "fixed size")
    assert_recovers(runs)


def test_a_store_is_held_to_its_specification(tmp_path: Path) -> None:
    write_store(tmp_path / "store", np.ones(M, dtype=bool))
    spec = json.loads((tmp_path / "store" / "spec.json").read_text())
    spec["schema"]["margins"]["shape"] = [T + 1]
    path = tmp_path / "other.json"
    path.write_text(json.dumps(spec))
    with pytest.raises(ValueError, match=r"shape \(200, 5\).*got \(200, 4\)"):
        open_datamodels_store(tmp_path / "store", problem="p", specification=path)
    path.write_text(json.dumps({"num_models": M, "schema": {"masks": {}}}))
    with pytest.raises(ValueError, match="must state num_models"):
        open_datamodels_store(tmp_path / "store", problem="p", specification=path)


def test_standardised_units_of_the_regression_are_mapped_back(tmp_path: Path) -> None:
    completed = np.ones(M, dtype=bool)
    completed[[3, 50]] = False
    masks, _ = write_store(tmp_path / "store", completed)
    runs = open_datamodels_store(tmp_path / "store", problem="p")
    # Its data set holds the completed rows, of which the final fit takes the first.
    path = write_regression(tmp_path, masks[completed][:160], slice(0, T))
    found = load_datamodels_regression(path, runs=runs, num_train=150, num_val=10)
    assert np.allclose(found.scores.numpy(), SLOPE, atol=1e-5)
    assert found.intercept is not None
    assert np.allclose(found.intercept.numpy(), LEVEL, atol=1e-5)
    assert "never trained" not in found.method
    # Row 161 is the 160th that was completed. Rows beyond it are free to judge; no
    # others are.
    lds(found, evaluation_of_runs(runs.rows(162, M)))
    with pytest.raises(ValueError, match="share no seeds"):
        lds(found, evaluation_of_runs(runs.rows(161, M)))
    with pytest.raises(ValueError, match="at most the store's 198 rows"):
        load_datamodels_regression(path, runs=runs, num_train=198, num_val=1)
    # Written with its flag, the data set holds rows that were never trained too.
    used = np.where(completed[:, None], masks, False)[:160]
    path = write_regression(tmp_path, used, slice(0, T))
    found = load_datamodels_regression(
        path, runs=runs, num_train=150, num_val=10, ignored_completed=True
    )
    assert np.allclose(found.scores.numpy(), SLOPE, atol=1e-5)
    assert "2 of whose 160 rows were never trained" in found.method


def test_a_regression_on_a_slice_of_targets_keeps_their_numbers(tmp_path: Path) -> None:
    masks, _ = write_store(tmp_path / "store", np.ones(M, dtype=bool))
    runs = open_datamodels_store(tmp_path / "store", problem="p")
    write_regression(tmp_path, masks[:160], slice(1, 3))
    given: dict[str, Any] = {"num_train": 150, "num_val": 10, "target_slice": (1, 3)}
    # The folder of its output is enough.
    some = runs.targets(2, 3)
    found = load_datamodels_regression(tmp_path, runs=some, **given)
    assert found.target_labels == ("target 2",)
    assert np.allclose(found.scores.numpy(), SLOPE[:, 2:3], atol=1e-5)
    with pytest.raises(ValueError, match=r"targets must lie in \[1, 3\).*got 0 to 3"):
        load_datamodels_regression(tmp_path, runs=runs, **given)
    with pytest.raises(ValueError, match=r"weight must have shape \(20, 4\)"):
        load_datamodels_regression(tmp_path, runs=runs, num_train=150, num_val=10)


# TRAK.


def test_trak_masks_margins_and_scores(tmp_path: Path) -> None:
    masks, outputs = made_up()
    np.save(tmp_path / "mask.npy", masks)
    np.save(tmp_path / "val_margins.npy", outputs.astype(np.float32))
    runs = open_trak(tmp_path, problem="p")
    assert runs.tags.output == "margin"
    assert_recovers(runs)
    (tmp_path / "scores").mkdir()
    file = np.lib.format.open_memmap(
        tmp_path / "scores" / "run.mmap", mode="w+", shape=(N, T), dtype=np.float16
    )
    file[:] = SLOPE
    file.flush()
    scores = load_trak_scores(tmp_path, "run", problem="p")
    assert np.allclose(scores.scores.numpy(), SLOPE, atol=2e-3)
    assert scores.estimand.quantity == "TRAK"
    # The right orientation and sign: they rank these subsets nearly perfectly.
    assert lds(scores, evaluation_of_runs(runs)).mean.value > 0.95
    file[:, 1] = 0
    file.flush()
    with pytest.raises(ValueError, match="zeros throughout for target 1"):
        load_trak_scores(tmp_path, "run", problem="p")
    with pytest.raises(ValueError, match="plain name"):
        load_trak_scores(tmp_path, "../run", problem="p")


# kronfluence.


def test_kronfluence_pickles_and_scores(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.torch").save_file
    masks, losses = made_up()
    torch.save(masks.astype(np.int8), tmp_path / "masks.pt")
    torch.save(losses.astype(np.float32), tmp_path / "losses.pt")
    runs = open_kronfluence(
        tmp_path / "masks.pt", tmp_path / "losses.pt", problem="p", output="loss"
    )
    assert_recovers(runs)
    # Its scores are grad m' C^-1 grad l (tests/influence/test_peers.py computes them
    # with the library itself): a unit of weight moves the measurement by minus 1/N.
    path = tmp_path / "pairwise_scores.safetensors"
    stored = torch.from_numpy(-N * SLOPE.T).float().contiguous()
    save_file({"all_modules": stored}, path)
    scores = load_kronfluence_scores(path, problem="p", measurement="loss")
    assert scores.estimand.unit == "per_epsilon"
    per_weight = scores.in_unit("per_weight").scores.numpy()
    assert np.allclose(per_weight, SLOPE, atol=1e-5)
    assert lds(scores, evaluation_of_runs(runs)).mean.value > 0.95
    with pytest.raises(ValueError, match="no tensor all_modules"):
        save_file({"layer": stored}, path)
        load_kronfluence_scores(path, problem="p", measurement="loss")


# dattri.


def test_dattri_values_are_turned_back(tmp_path: Path) -> None:
    masks, losses = made_up()
    torch.save(torch.from_numpy(kept_lists(masks)), tmp_path / "indices_lds.pt")
    torch.save(torch.from_numpy(-losses), tmp_path / "target_values_lds.pt")
    runs = open_dattri_lds(
        tmp_path / "indices_lds.pt",
        tmp_path / "target_values_lds.pt",
        n_train=N,
        problem="p",
        output="loss",
        seeds_per_subset=3,
    )
    assert runs.tags.sign == "negated"
    assert_recovers(runs)
    fitted = fit_imported(runs)
    assert fitted.estimand.seeds_per_weight == 3
    assert fitted.n_models == 3 * M


def test_dattri_itself_reads_the_same_score_from_these_files(tmp_path: Path) -> None:
    metric = pytest.importorskip("dattri.metric")
    masks, losses = made_up(noise=3.0)
    truth = torch.from_numpy(-losses), torch.from_numpy(kept_lists(masks))
    # dattri's scores speak of minus the target.
    theirs, _ = metric.lds(torch.from_numpy(-SLOPE), truth)
    torch.save(truth[1], tmp_path / "i.pt")
    torch.save(truth[0], tmp_path / "v.pt")
    runs = open_dattri_lds(
        tmp_path / "i.pt", tmp_path / "v.pt", n_train=N, problem="p", output="loss"
    )
    scores = fit_imported(runs.rows(0, 100), estimator=DifferenceOfMeans())
    scores = type(scores)(
        scores=torch.from_numpy(SLOPE),
        estimand=scores.estimand,
        train_labels=scores.train_labels,
        target_labels=scores.target_labels,
        n_train=N,
    )
    ours = lds(scores, evaluation_of_runs(runs)).per_target.value
    assert torch.allclose(ours, theirs, atol=1e-12)


def test_dattri_leave_one_out_keeps_its_sign_and_has_no_law(tmp_path: Path) -> None:
    masks = ~np.eye(N, dtype=bool)
    values = masks @ SLOPE
    # dattri stores the removed examples' numbers as floats.
    torch.save(torch.arange(N).float(), tmp_path / "i.pt")
    torch.save(torch.from_numpy(values), tmp_path / "v.pt")
    runs = open_dattri_loo(
        tmp_path / "i.pt", tmp_path / "v.pt", n_train=N, problem="p", output="loss"
    )
    x, y = runs.all_rows()
    assert np.array_equal(x.numpy(), masks)
    assert np.allclose(y.numpy(), values)
    with pytest.raises(ValueError, match="law must be known"):
        fit_imported(runs)


# quanda.


@pytest.mark.parametrize("kind", ["yaml", "pt"])
def test_quanda_subsets(tmp_path: Path, kind: str) -> None:
    masks, outputs = made_up()
    kept = kept_lists(masks)
    path = tmp_path / f"subsets.{kind}"
    if kind == "pt":
        torch.save(torch.from_numpy(kept), path)
    else:
        yaml = pytest.importorskip("yaml")
        path.write_text(yaml.safe_dump(kept.tolist()))
    np.save(tmp_path / "outputs.npy", outputs)
    runs = open_quanda(path, tmp_path / "outputs.npy", n_train=N, problem="p")
    assert runs.tags.output == "log-likelihood"
    assert_recovers(runs)


def test_yaml_with_aliases_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / "subsets.yaml"
    bomb = "- &a [1, 2]\n" + "- [*a, *a]\n"
    for text in (bomb, "- !!python/object/apply:os.getcwd []\n", "[[1", "- [1, x]\n"):
        path.write_text(text)
        np.save(tmp_path / "o.npy", np.ones((2, 1)))
        with pytest.raises(ValueError, match=r"subsets\.yaml") as found:
            open_quanda(path, tmp_path / "o.npy", n_train=N, problem="p")
        assert "\n" not in str(found.value)


# bergson.


def write_bergson(folder: Path, rows: list[list[Any]], *, multi: bool) -> Path:
    path = folder / "validation.csv"
    names = ["subset", "query", "diff", "score_sum"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names if multi else [n for n in names if n != "query"])
        writer.writerows(rows)
    return path


def test_bergson_left_out_ids_and_differences(tmp_path: Path) -> None:
    masks, losses = made_up(size=N - 4)
    left_out = [np.flatnonzero(~mask).tolist() for mask in masks]
    (tmp_path / "subsets.json").write_text(json.dumps(left_out))
    baseline = losses.mean(0)
    rows = [
        [k, t, float(baseline[t] - losses[k, t]), 0.0]
        for k in range(M - 1)
        for t in range(T)
    ]
    table = write_bergson(tmp_path, rows, multi=True)
    runs = open_bergson(tmp_path / "subsets.json", table, n_train=N, problem="p")
    # The last subset was not validated yet.
    assert runs.numbers.tolist() == list(range(M - 1))
    x, _ = runs.all_rows()
    assert np.array_equal(x.numpy(), masks[: M - 1])
    assert_recovers(runs)
    write_bergson(tmp_path, [*rows, rows[0]], multi=True)
    with pytest.raises(ValueError, match="twice"):
        open_bergson(tmp_path / "subsets.json", table, n_train=N, problem="p")
    write_bergson(tmp_path, [[0, 10**7, 1.0, 0.0]], multi=True)
    with pytest.raises(ValueError, match="most queries of most subsets"):
        open_bergson(tmp_path / "subsets.json", table, n_train=N, problem="p")


def test_bergson_slices_of_a_single_query(tmp_path: Path) -> None:
    masks, losses = made_up(size=N - 4)
    left_out = [np.flatnonzero(~mask).tolist() for mask in masks]
    (tmp_path / "subsets.json").write_text(json.dumps(left_out))
    tables = []
    for part in (range(0, 120), range(120, M)):
        rows = [[k, float(-losses[k, 0]), 0.0] for k in part]
        path = write_bergson(tmp_path, rows, multi=False)
        tables.append(path.rename(tmp_path / f"validation_{part.start}.csv"))
    runs = open_bergson(tmp_path / "subsets.json", tables, n_train=N, problem="p")
    assert np.allclose(runs.all_rows()[1].numpy(), losses[:, :1])


# Feldman and Zhang.


def write_runs(folder: Path, masks: np.ndarray, correct: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    for number, mask in enumerate(masks):
        run = folder / str(number)
        run.mkdir(parents=True)
        kept = rng.permutation(np.flatnonzero(mask))
        removed = rng.permutation(np.flatnonzero(~mask))
        order = rng.permutation(correct.shape[1])
        np.savez(
            run / "aux_arrays.npz",
            subsample_idx=kept,
            correctness_train=(kept % 2).astype(bool),
            index_train=kept,
            correctness_removed=(removed % 2).astype(bool),
            index_removed=removed,
            correctness_test=correct[number, order],
            index_test=order,
        )


def test_feldman_zhang_runs_are_put_in_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    masks = fixed_size_masks(rng, 12, N, 14)
    correct = rng.random((12, 6)) < 0.5
    write_runs(tmp_path, masks, correct)
    runs = open_feldman_zhang(tmp_path, problem="p")
    x, y = runs.all_rows()
    # Twelve runs: "10" comes after "9", not after "1".
    assert np.array_equal(x.numpy(), masks)
    assert np.array_equal(y.numpy(), correct)
    assert runs.tags.law == Point("subsets", 0.7, "fixed size")
    trained = open_feldman_zhang(tmp_path, problem="p", split="train")
    assert np.array_equal(trained.rows(2, 3).all_rows()[1][0].numpy(), np.arange(N) % 2)


def test_feldman_zhang_influence_is_a_datamodel_times_n_over_n_less_1(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(5)
    # All subsets of 3 of 6: the population coefficient is known exactly.
    n, size = 6, 3
    masks = np.array([[int(b) for b in f"{k:06b}"] for k in range(2**n)], dtype=bool)
    masks = masks[masks.sum(1) == size]
    outputs = (rng.random((len(masks), 2)) < 0.5).astype(float)
    inside = (outputs.T @ masks) / masks.sum(0)
    outside = (outputs.T @ ~masks) / (~masks).sum(0)
    np.savez(tmp_path / "infl_mem.npz", influence=inside - outside, memorization=1.0)
    found = load_feldman_zhang(
        tmp_path / "infl_mem.npz", problem="p", subset_fraction=0.5
    )
    # The least-squares solution of least norm, from the population itself.
    x = masks - masks.mean(0)
    beta = np.linalg.pinv(x) @ (outputs - outputs.mean(0))
    assert np.allclose(found.scores.numpy(), beta, atol=1e-12)


# What counts of masks tell.


def test_replicates_are_found_and_count_once(tmp_path: Path) -> None:
    masks, outputs = made_up()
    np.save(tmp_path / "mask.npy", masks[:50].repeat(4, axis=0))
    np.save(tmp_path / "val_margins.npy", outputs)
    runs = open_trak(tmp_path, problem="p")
    assert replicates_in(runs) == 4
    assert runs.tags.law == Point("subsets", 0.5, "fixed size")
    assert evaluation_of_runs(runs, n_replicates=4).n_seeds == 4
    with pytest.raises(ValueError, match="must repeat 5 times"):
        evaluation_of_runs(runs, n_replicates=5)
    np.save(tmp_path / "mask.npy", masks)
    assert replicates_in(open_trak(tmp_path, problem="p")) == 1


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        ("fixed", "fixed size"),
        ("independent", "Bernoulli"),
        ("pairs", None),
        ("uneven share", None),
        ("one example always in", None),
    ],
)
def test_laws_are_told_from_counts(tmp_path: Path, kind: str, law: str | None) -> None:
    rng = np.random.default_rng(6)
    n = 40
    masks = {
        "fixed": lambda: fixed_size_masks(rng, M, n, n // 4),
        "independent": lambda: rng.random((M, n)) < 0.25,
        "pairs": lambda: (lambda half: np.stack([half, ~half], 1).reshape(M, n))(
            rng.random((M // 2, n)) < 0.5
        ),
        "uneven share": lambda: rng.random((M, n)) < rng.uniform(0.1, 0.9, (M, 1)),
        "one example always in": lambda: (
            (rng.random((M, n)) < 0.5) | (np.arange(n) == 3)
        ),
    }[kind]()
    np.save(tmp_path / "mask.npy", masks)
    np.save(tmp_path / "val_margins.npy", rng.normal(size=(M, 1)))
    found = open_trak(tmp_path, problem="p").tags.law
    assert (found and found.law) == law
    if found is not None:
        assert abs(found.level - 0.25) < 0.03

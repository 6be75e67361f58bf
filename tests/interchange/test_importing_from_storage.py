"""Imports from an object store that speaks S3, on loopback: the same, and by range."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from made_up_release import EVALUATION, FIT, N_TRAIN, fixed_size_masks, write_release
from samples import an_attribution
from test_bergson_scores import write_scores
from test_regression_log import write_log

from dmtheory import Attribution
from dmtheory.cli import cli
from dmtheory.interchange import (
    ImportedRuns,
    check_release,
    open_regression_log,
    open_release,
    save_arrays,
    save_bergson,
    save_dattri_lds,
    save_kronfluence_scores,
    save_parquet,
    save_quanda,
    save_runs_zarr,
    save_safetensors,
    save_trak,
    save_trak_scores,
    save_zarr,
)
from dmtheory.interchange.files.places import Place
from dmtheory.interchange.formats import RUNS, SCORES, Request, read
from dmtheory.responses.remote import StoreError

s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
moto = pytest.importorskip("moto.server", reason="moto's server is not installed")
fsspec_sync = pytest.importorskip("fsspec.asyn").sync
zarr_sync = pytest.importorskip("zarr.core.sync").sync
for needed in ("yaml", "pyarrow", "safetensors"):
    pytest.importorskip(needed)

BUCKET, SECRET = "imports", "anything"
HELD_OUT = (FIT, FIT + EVALUATION)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write every format, each in a folder of its name."""
    root = tmp_path_factory.mktemp("formats")
    write_release(root / "release", standardised=True)
    runs = open_release(root / "release", dataset="cifar", percent=50)
    runs = runs.rows(0, 60)
    save_arrays(runs, root / "arrays")
    save_runs_zarr(runs, root / "zarr-runs")
    save_trak(runs, root / "trak")
    save_dattri_lds(runs, root / "dattri-lds")
    write_leave_one_out(root / "dattri-loo")
    save_quanda(runs, root / "quanda")
    save_bergson(runs, root / "bergson")
    write_kronfluence(root / "kronfluence", runs)
    write_store(root / "datamodels-store", runs)
    write_store(root / "datamodels-regression", runs)
    weights = root / "release" / "cifar" / "datamodels" / "test_50pct.pt"
    target = root / "datamodels-regression" / "datamodels.pt"
    target.write_bytes(weights.read_bytes())
    write_runs(root / "feldman-zhang")
    scores = an_attribution(torch.randn(6, 3, dtype=torch.float64))
    for save, name in (
        (save_safetensors, "safetensors"),
        (save_parquet, "parquet"),
        (save_zarr, "zarr"),
        (save_kronfluence_scores, "kronfluence-scores"),
    ):
        save(scores, root / name / "file")
    save_trak_scores(scores, root / "trak-scores", "run")
    write_influence(root / "feldman-zhang-influence", scores)
    write_scores(root / "bergson-scores")
    write_log(root / "regression-log")
    return root


def write_leave_one_out(folder: Path) -> None:
    folder.mkdir()
    torch.save(torch.arange(5), folder / "indices_loo.pt")
    torch.save(torch.randn(5, 2), folder / "target_values_loo.pt")


def write_kronfluence(folder: Path, runs: ImportedRuns) -> None:
    folder.mkdir()
    masks, outputs = (values.numpy() for values in runs.all_rows())
    torch.save(masks.astype(np.int8), folder / "masks.pt")
    torch.save(outputs.astype(np.float32), folder / "margins.pt")


def write_store(folder: Path, runs: ImportedRuns) -> None:
    folder.mkdir()
    masks, outputs = (values.numpy() for values in runs.all_rows())
    np.save(folder / "masks.npy", masks.astype(bool))
    np.save(folder / "margins.npy", np.ascontiguousarray(outputs.astype(np.float16)))
    np.save(folder / "_completed.npy", np.arange(len(masks)) % 7 > 0)


def write_runs(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for run, mask in enumerate(fixed_size_masks(rng, 3, 8, 5)):
        kept, removed = np.flatnonzero(mask), np.flatnonzero(~mask)
        (folder / str(run)).mkdir(parents=True)
        np.savez(
            folder / str(run) / "aux_arrays.npz",
            subsample_idx=kept,
            correctness_train=kept % 2,
            index_train=kept,
            correctness_removed=removed % 2,
            index_removed=removed,
            correctness_test=rng.random(3) < 0.5,
            index_test=np.arange(3),
        )


def write_influence(folder: Path, scores: Attribution) -> None:
    folder.mkdir()
    np.savez(folder / "file", influence=scores.scores.numpy().T)


@pytest.fixture(scope="module")
def bucket(local: Path) -> Iterator[str]:
    """Start a server with a copy of all of it; processes find it as users' do."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        files = s3fs.S3FileSystem(use_listings_cache=False)
        files.mkdir(BUCKET)
        files.put(f"{local}/", f"{BUCKET}/", recursive=True)
        yield f"s3://{BUCKET}"
        for system in s3fs.S3FileSystem._cache.values():
            client = system._s3
            if client is not None and system.asynchronous:
                zarr_sync(client.close())
            elif client is not None:
                fsspec_sync(system.loop, client.close)
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


# What each format needs to be told, and where in its folder it is.
TOLD: dict[str, tuple[str, dict[str, Any]]] = {
    "release": ("", {"held_out": HELD_OUT}),
    "release-weights": ("", {"held_out": HELD_OUT, "targets": (1, 4)}),
    "datamodels-store": ("", {}),
    "datamodels-regression": ("", {"num_train": 40, "num_val": 5}),
    "trak": ("", {}),
    "kronfluence": ("", {"output": "margin"}),
    "dattri-lds": ("", {"n_train": N_TRAIN, "output": "loss"}),
    "dattri-loo": ("", {"n_train": N_TRAIN, "output": "loss"}),
    "quanda": ("lds_subsets.yaml", {"n_train": N_TRAIN}),
    "bergson": ("", {"n_train": N_TRAIN}),
    "feldman-zhang": ("", {}),
    "arrays": ("", {}),
    "zarr-runs": ("", {}),
    "trak-scores": ("", {"experiment": "run"}),
    "kronfluence-scores": ("file", {"output": "loss"}),
    "bergson-scores": ("", {"higher_is_better": True}),
    "feldman-zhang-influence": ("file.npz", {"fraction": 0.5}),
    "safetensors": ("file", {}),
    "parquet": ("file", {}),
    "zarr": ("file", {}),
}
BESIDE = {
    "quanda": {"outputs": "quanda/outputs.npy"},
    "datamodels-regression": {"store": "datamodels-regression"},
}


def request(name: str, root: str) -> Request:
    inner, told = TOLD[name]
    folder = "release" if name == "release-weights" else name
    beside = {key: f"{root}/{path}" for key, path in BESIDE.get(name, {}).items()}
    path = f"{root}/{folder}/{inner}".rstrip("/")
    return Request(path=path, problem="p", **told, **beside)


def test_every_format_is_told_what_it_needs() -> None:
    assert set(TOLD) == {*RUNS, *SCORES}


@pytest.mark.parametrize("name", list(TOLD))
def test_what_is_read_remotely_is_what_is_read_locally(
    local: Path, bucket: str, name: str
) -> None:
    here, there = (read(name, request(name, root)) for root in (str(local), bucket))
    if isinstance(here, Attribution):
        assert isinstance(there, Attribution)
        assert torch.equal(here.scores, there.scores)
        assert here.estimand == there.estimand and here.method == there.method
        assert here.seeds == there.seeds
        return
    assert isinstance(there, ImportedRuns) and here.tags == there.tags
    for ours, theirs in zip(here.all_rows(), there.all_rows(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, int]]:
    """Return what tells the bytes that were asked for since, by file."""
    plain, seen = Place.read, {}

    def counting(self: Place, start: int, stop: int) -> bytes:
        content = plain(self, start, stop)
        seen[self.name] = seen.get(self.name, 0) + len(content)
        return content

    def since() -> dict[str, int]:
        found = dict(seen)
        seen.clear()
        return found

    monkeypatch.setattr(Place, "read", counting)
    return since


def test_rows_are_fetched_by_range(
    bucket: str, fetched: Callable[[], dict[str, int]]
) -> None:
    runs = open_release(f"{bucket}/release", dataset="cifar", percent=50)
    fetched()
    runs.rows(7, 12).all_rows()
    assert fetched() == {
        "train_masks_50pct.npy": 5 * N_TRAIN,
        "test_margins_50pct.npy": 5 * 5 * 2,
    }


def test_parts_of_files_are_fetched_by_range(
    local: Path, bucket: str, fetched: Callable[[], dict[str, int]]
) -> None:
    """Of an archive and of a table no more than is asked for, in pieces of 64 KiB."""
    import safetensors.numpy

    from dmtheory.interchange.files.archives import load_npz
    from dmtheory.interchange.files.tensors import read_safetensors
    from dmtheory.interchange.files.torch_files import load_tensors

    rng = np.random.default_rng(0)
    large, small = rng.normal(size=(400, 500)), np.arange(6.0).reshape(2, 3)
    folder = local / "large"
    folder.mkdir(exist_ok=True)
    np.savez(folder / "x.npz", large=large, small=small)
    torch.save({"large": torch.from_numpy(large), "b": torch.ones(3)}, folder / "x.pt")
    safetensors.numpy.save_file({"large": large, "small": small}, folder / "x.st")
    files = s3fs.S3FileSystem()
    files.put(f"{folder}/", f"{BUCKET}/large/", recursive=True)
    at = Place.of(f"{bucket}/large")
    fetched()
    assert np.array_equal(load_npz(at / "x.npz", ("small",))["small"], small)
    rows = load_tensors(at / "x.pt", {"large": 2, "b": 1})["large"]
    assert np.array_equal(rows.read(390, 400), large[390:])
    assert np.array_equal(read_safetensors(at / "x.st", ("small",))[0]["small"], small)
    found = fetched()
    assert set(found) == {"x.npz", "x.pt", "x.st"}
    # Each has 1.6 MB.
    assert found["x.st"] < 2000
    assert found["x.npz"] < 5 * 2**16 and found["x.pt"] < 6 * 2**16


def test_a_check_reads_a_bucket(bucket: str) -> None:
    findings = check_release(f"{bucket}/release")
    assert {f.level for f in findings} == {"good", "noted"}
    assert "cifar/data/train_masks_50pct.npy" in {f.file for f in findings}


def test_a_log_is_read_from_a_bucket(local: Path, bucket: str) -> None:
    here, there = (
        open_regression_log(f"{root}/regression-log").last("best_lambda")
        for root in (local, bucket)
    )
    assert np.array_equal(here, there)


def test_one_command_leads_from_a_bucket_to_a_report(
    bucket: str, tmp_path: Path
) -> None:
    report = tmp_path / "report.md"
    given = ["import", f"{bucket}/release", "--format", "release"]
    rows = ["--held-out", "400:520", "--targets", "0:3", "--report", str(report)]
    result = CliRunner().invoke(cli, [*given, *rows])
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert "Leakage candidates" in report.read_text()


def test_what_cannot_be_reached_is_named(bucket: str) -> None:
    with pytest.raises(ValueError, match="folder must hold cifar"):
        open_release(f"{bucket}/nothing", dataset="cifar", percent=50)
    with pytest.raises((ValueError, StoreError)) as found:
        Place.of("s3://no-such-bucket/x.npy").size()
    assert "no-such-bucket" in str(found.value) and SECRET not in str(found.value)
    large = Place.of(f"{bucket}/trak/mask.npy")
    with pytest.raises(ValueError, match="cut short"):
        large.read(0, large.size() + 1)

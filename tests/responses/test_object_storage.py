"""Runs in an object store that speaks S3, on loopback: the same promises as on disk."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from counting import Counting, contents, trainings
from zarr.core.sync import sync as zarr_sync
from zarr.storage import FsspecStore

from dmtheory import collect
from dmtheory.cli import cli
from dmtheory.designs import Bernoulli
from dmtheory.responses import store as stores
from dmtheory.responses.collect import collect_into
from dmtheory.responses.maintain import merge, verify
from dmtheory.responses.responses import load_responses, open_dataset
from dmtheory.responses.store import StoreError, read_store

s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
fsspec_sync = pytest.importorskip("fsspec.asyn").sync
moto = pytest.importorskip("moto.server", reason="moto's server is not installed")

BUCKET, BLOCK, N_MODELS = "runs", 5, 23
SECRETS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "anything"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Start a server; this process finds it as users' processes find theirs."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in {**SECRETS, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        yield url
        close_sessions()
    server.stop()


def close_sessions() -> None:
    """Close what file systems keep open until the process ends."""
    for system in s3fs.S3FileSystem._cache.values():
        client = system._s3
        if client is not None and system.asynchronous:
            zarr_sync(client.close())
        elif client is not None:
            fsspec_sync(system.loop, client.close)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def remote(endpoint: str) -> Any:
    """Return the file system with an empty bucket."""
    found = s3fs.S3FileSystem(use_listings_cache=False)
    if found.exists(BUCKET):
        found.rm(BUCKET, recursive=True)
    found.mkdir(BUCKET)
    return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def problem(log: Path) -> Counting:
    return Counting(log=log)


def design(n_models: int = N_MODELS) -> Bernoulli:
    return Bernoulli(p=0.5, n_models=n_models, seed=3)


def url(name: str) -> str:
    return f"s3://{BUCKET}/{name}.zarr"


def objects(remote: Any, name: str) -> dict[str, bytes]:
    root = f"{BUCKET}/{name}.zarr"
    return {
        path.removeprefix(f"{root}/"): remote.cat_file(path)
        for path in remote.find(root)
    }


@pytest.fixture
def truth(tmp_path: Path) -> dict[str, bytes]:
    """Return every file of the run that nothing interrupted, on a disk."""
    folder = tmp_path / "truth"
    collect(Counting(), design(), store=folder, block=BLOCK)
    return contents(folder)


def test_a_run_has_the_objects_that_a_disk_has_files(
    remote: Any, truth: dict[str, bytes]
) -> None:
    found = collect(Counting(), design(), store=url("run"), block=BLOCK)
    assert objects(remote, "run") == truth
    alone = collect(Counting(), design(), block=BLOCK)
    assert torch.equal(found.outputs, alone.outputs)
    assert torch.equal(load_responses(url("run")).outputs, alone.outputs)
    with open_dataset(url("run")) as dataset:
        assert dataset.outputs.dims == ("models", "targets")
        column = dataset.outputs.sel(targets="question 1").values
    assert (column == alone.outputs[:, 1].numpy()).all()


@pytest.mark.parametrize("point", ["outputs", "status", "mark", "done"])
def test_a_collector_that_ends_inside_a_write_costs_that_block(
    remote: Any,
    truth: dict[str, bytes],
    problem: Counting,
    log: Path,
    point: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visits: list[str] = []

    def interrupt(where: str) -> None:
        visits.append(where)
        if visits.count(point) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stores, "reached", interrupt)
        collect(problem, design(), store=url("run"), block=BLOCK)
    with pytest.raises(StoreError, match="is not written: collect the run again"):
        load_responses(url("run"))
    found: list[int] = []
    collect(problem, design(), store=url("run"), block=BLOCK, progress=found.append)
    assert objects(remote, "run") == truth
    assert sum(found) == N_MODELS
    redone = trainings(log, design(), BLOCK).total() - 5
    assert redone == (0 if point == "done" else 1)


def test_a_finished_run_is_extended_and_trains_only_what_is_new(
    remote: Any, truth: dict[str, bytes], problem: Counting, log: Path
) -> None:
    for n_models in (5, 12, N_MODELS):
        collect(problem, design(n_models), store=url("run"), block=BLOCK)
    assert objects(remote, "run") == truth
    # Block 2 was partial at 12 models.
    assert trainings(log, design(), BLOCK) == {0: 1, 1: 1, 2: 2, 3: 1, 4: 1}
    collect(problem, design(5), store=url("run"), block=BLOCK)
    assert objects(remote, "run") == truth


def flipped(content: bytes) -> bytes:
    return content[:7] + bytes([content[7] ^ 1]) + content[8:]


DAMAGE = {
    "flipped": flipped,
    "truncated": lambda content: content[:-3],
    "empty": lambda content: b"",
    "deleted": None,
    "another block's": "0",
}


@pytest.mark.parametrize("name", ["outputs/c/{}/0", "status/c/{}", "marks/c/{}/0"])
@pytest.mark.parametrize("damage", list(DAMAGE))
def test_a_damaged_object_is_found_and_its_block_trained_anew(
    remote: Any,
    truth: dict[str, bytes],
    problem: Counting,
    log: Path,
    name: str,
    damage: str,
) -> None:
    collect(Counting(), design(), store=url("run"), block=BLOCK)
    path, how = f"{BUCKET}/run.zarr/{name.format(2)}", DAMAGE[damage]
    if how is None:
        remote.rm(path)
    elif callable(how):
        remote.pipe(path, how(remote.cat(path)))
    else:
        remote.pipe(path, remote.cat(f"{BUCKET}/run.zarr/{name.format(how)}"))
    if damage == "another block's" and name.startswith("status"):
        # All of its models are trained, as there: these are the same bytes.
        assert verify(url("run")).sound
        return
    with pytest.raises(StoreError, match=r"block 2 .*collect the run again"):
        load_responses(url("run"))
    found = verify(url("run"))
    assert found.missing + found.damaged == (2,)
    collect(problem, design(), store=url("run"), block=BLOCK)
    assert objects(remote, "run") == truth
    assert trainings(log, design(), BLOCK) == {2: 1}
    assert verify(url("run"), problem).sound


def test_two_collectors_share_the_work(
    remote: Any, truth: dict[str, bytes], problem: Counting, log: Path
) -> None:
    """The second starts when the first has two blocks, and does the rest."""
    finished: list[int] = []

    def second(n: int) -> None:
        finished.append(n)
        if len(finished) == 3:
            collect(problem, design(), store=url("run"), block=BLOCK)

    collect(problem, design(), store=url("run"), block=BLOCK, progress=second)
    assert objects(remote, "run") == truth
    assert trainings(log, design(), BLOCK).total() == 5


def test_shards_of_an_array_job_are_merged(
    remote: Any, truth: dict[str, bytes], problem: Counting, log: Path, tmp_path: Path
) -> None:
    parts = [url("shard-0"), url("shard-1"), str(tmp_path / "shard-2")]
    for index, part in enumerate(parts):
        collect_into(part, problem, design(), block=BLOCK, shard=(index, 3))
    merge(url("run"), parts)
    assert objects(remote, "run") == truth
    assert trainings(log, design(), BLOCK).total() == 5


def test_another_run_is_refused_and_nothing_is_changed(remote: Any) -> None:
    collect(Counting(), design(), store=url("run"), block=BLOCK)
    before = objects(remote, "run")
    with pytest.raises(StoreError, match="another run: block is 5 there and 4 here"):
        collect(Counting(), design(), store=url("run"), block=4)
    assert objects(remote, "run") == before


def test_what_is_not_there_is_named(remote: Any) -> None:
    with pytest.raises(StoreError, match=r"store must exist, got s3://runs/no.zarr"):
        read_store(url("no"))
    with pytest.raises((StoreError, OSError), match="bucket does not exist"):
        collect(Counting(), design(), store="s3://no-such-bucket/run.zarr")


def test_endpoint_and_secrets_may_be_given_in_the_program(
    remote: Any,
    endpoint: str,
    truth: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (*SECRETS, "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    options = {
        "key": "somebody",
        "secret": "anything",
        "endpoint_url": endpoint,
    }
    given = FsspecStore.from_url(url("run"), storage_options=options)
    collect(Counting(), design(), store=given, block=BLOCK)
    assert objects(remote, "run") == truth
    assert load_responses(given).n_models == N_MODELS


def test_the_command_line_collects_and_verifies(remote: Any) -> None:
    chosen = ["--problem", "diabetes-ridge", "--models", "20", "--block", "8"]
    where = ["--store", url("diabetes")]
    done = CliRunner().invoke(cli, ["collect", *chosen, *where])
    assert done.exit_code == 0, done.output
    assert "missing blocks: 0" in done.output
    checked = CliRunner().invoke(cli, ["verify", url("diabetes"), "--rows", "2"])
    assert checked.exit_code == 0, checked.output
    assert "sound: True" in checked.output

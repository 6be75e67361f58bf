"""A store without space: one error, nothing counted that is not there, then on."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from counting import Counting, contents, leftovers, trainings
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore, MemoryStore

from dmtheory.designs import Bernoulli
from dmtheory.responses import store as stores
from dmtheory.responses.collect import collect, collect_into
from dmtheory.responses.responses import load_responses

DESIGN = Bernoulli(p=0.5, n_models=28, seed=1)
BLOCK, N_BLOCKS = 5, 6


class Disk:
    """Space that writes use up."""

    free = 0

    def take(self, value: Buffer) -> None:
        if len(value) > self.free:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.free -= len(value)


DISK = Disk()


class FullMemory(MemoryStore):
    async def set(self, key: str, value: Buffer, *rest: Any) -> None:
        DISK.take(value)
        await super().set(key, value, *rest)


class FullFolder(LocalStore):
    async def set(self, key: str, value: Buffer) -> None:
        DISK.take(value)
        await super().set(key, value)


@pytest.fixture(params=["memory", "folder"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return FullMemory() if request.param == "memory" else FullFolder(tmp_path / "store")


def run_size(tmp_path: Path) -> tuple[int, int]:
    """Return the bytes of an uninterrupted run's metadata, and of all of it."""
    collect_into(tmp_path / "truth", Counting(), DESIGN, block=BLOCK)
    sizes = {name: len(file) for name, file in contents(tmp_path / "truth").items()}
    metadata = sum(n for name, n in sizes.items() if name.endswith("zarr.json"))
    return metadata, sum(sizes.values())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.8, 0.95, 0.999])
def test_a_run_goes_on_when_there_is_space_again(
    share: float, location: Any, tmp_path: Path
) -> None:
    metadata, size = run_size(tmp_path)
    log = tmp_path / "log"
    DISK.free = int(share * size)
    with pytest.raises(OSError, match="No space left on device"):
        collect(Counting(log=log), DESIGN, store=location, block=BLOCK)
    DISK.free = size
    finished = trainings(log, DESIGN, BLOCK)
    if share * size > metadata:
        opened = stores.read_store(location)
        done = {b for b in range(N_BLOCKS) if opened.is_done(b)}
        # What was in flight when space ran out is all that is lost.
        assert len(finished.keys() - done) == 1
        assert all(opened.is_done(b) == opened.is_marked(b) for b in range(N_BLOCKS))
    else:
        done = set()
    log.unlink(missing_ok=True)
    found = collect(Counting(log=log), DESIGN, store=location, block=BLOCK)
    assert trainings(log, DESIGN, BLOCK) == dict.fromkeys(
        set(range(N_BLOCKS)) - done, 1
    )
    truth = load_responses(tmp_path / "truth")
    assert torch.equal(found.outputs, truth.outputs)
    if isinstance(location, FullFolder):
        assert contents(location.root) == contents(tmp_path / "truth")


def test_an_extension_without_space_leaves_the_run_as_it_was(
    location: Any, tmp_path: Path
) -> None:
    run_size(tmp_path)
    DISK.free = 10**6
    collect_into(location, Counting(), DESIGN, block=BLOCK)
    DISK.free = 0
    longer = Bernoulli(p=0.5, n_models=33, seed=1)
    with pytest.raises(OSError, match="No space left on device"):
        collect_into(location, Counting(), longer, block=BLOCK)
    truth = load_responses(tmp_path / "truth")
    assert torch.equal(load_responses(location).outputs, truth.outputs)


def mount(*arguments: str | Path) -> bool:
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of one megabyte; the tests' machine may not allow it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    if not mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", folder):
        pytest.skip("this machine does not let its root mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_full_is_enlarged_and_the_run_goes_on(
    small_disk: Path, tmp_path: Path
) -> None:
    # 400 models of 600 outputs in double precision: 1.9 MB in 20 blocks.
    large, blocks = Bernoulli(p=0.5, n_models=400, seed=1), range(20)
    truth, log, store = tmp_path / "truth", tmp_path / "log", small_disk / "store"
    collect_into(truth, Counting(n_targets=600), large, block=20)
    problem = Counting(n_targets=600, log=log)
    for _ in range(2):
        # The second try finds what is there, and no more room than the first.
        with pytest.raises(OSError, match="No space left on device") as caught:
            collect_into(store, problem, large, block=20)
        assert caught.value.errno == errno.ENOSPC
    opened = stores.read_store(store)
    done = opened.done(blocks)
    assert 5 <= len(done) < 20
    assert opened.marked(blocks) == done
    # The block in flight, once a try.
    assert trainings(log, large, 20).total() - len(done) == 2
    log.unlink()
    assert mount("-o", "remount,size=8m", small_disk)
    found = collect(problem, large, store=store, block=20)
    assert trainings(log, large, 20) == dict.fromkeys(set(blocks) - done, 1)
    assert torch.equal(found.outputs, load_responses(truth).outputs)
    assert contents(store) == contents(truth)
    assert not leftovers(store)

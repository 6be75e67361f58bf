"""Which process trains on which device; no GPU is needed, names are enough.

torch reads "cpu:0" and "cpu:1" as names of the same CPU, so a pool can be given
devices that differ.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from counting import Counting, contents
from test_local_engine import until
from torch import Tensor

from dmtheory import collect, process_pool
from dmtheory.designs import (
    AntitheticPairs,
    Bernoulli,
    ComplementaryPairs,
    FixedSize,
)
from dmtheory.designs.base import Design
from dmtheory.engines.devices import (
    check_devices,
    device_given,
    give_device,
    local_devices,
    parse_devices,
    worker_device,
)
from dmtheory.engines.local import Processes
from dmtheory.problems import BlackBox
from dmtheory.responses.collect import train_block

DESIGN = Bernoulli(p=0.5, n_models=38, seed=2)
TWO = ("cpu:0", "cpu:1")


def place() -> tuple[int, str]:
    return os.getpid(), str(worker_device())


def meet(task: tuple[Path, int]) -> tuple[int, str]:
    """Return process and device, once as many processes as asked for are here."""
    folder, n = task
    (folder / str(os.getpid())).touch()
    until(lambda: len(list(folder.iterdir())) >= n, "the other processes")
    return place()


def places(pool: Processes, n: int, folder: Path) -> set[tuple[int, str]]:
    """Return process and device of each of a pool's n processes."""
    folder.mkdir()
    found: set[tuple[int, str]] = set()
    pool.run(meet, [(folder, n)] * n, lambda _, result: found.add(result))
    return found


def end_without_a_word(marker: Path) -> tuple[int, str]:
    if not marker.exists():
        marker.touch()
        os._exit(9)
    return place()


def pretend(monkeypatch: pytest.MonkeyPatch, n_gpus: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)


def test_each_process_keeps_a_device_of_its_own(tmp_path: Path) -> None:
    with process_pool(devices=TWO) as pool:
        first = places(pool, 2, tmp_path / "first")
        assert len({process for process, _ in first}) == 2
        assert sorted(device for _, device in first) == ["cpu:0", "cpu:1"]
        assert places(pool, 2, tmp_path / "second") == first
        # A new pool for one whose worker died shares out the devices again.
        pool.run(end_without_a_word, [tmp_path / "died"], lambda *_: None)
        assert (tmp_path / "died").exists()
        third = places(pool, 2, tmp_path / "third")
        assert sorted(device for _, device in third) == ["cpu:0", "cpu:1"]
        assert not third & first


def test_devices_go_round_where_there_are_more_processes(tmp_path: Path) -> None:
    with process_pool(3, devices=TWO) as pool:
        found = places(pool, 3, tmp_path / "met")
    assert sorted(device for _, device in found) == ["cpu:0", "cpu:0", "cpu:1"]


def test_devices_change_no_byte_of_a_run(tmp_path: Path) -> None:
    collect(Counting(), DESIGN, store=tmp_path / "here", block=5)
    with process_pool(devices=TWO) as pool:
        collect(Counting(), DESIGN, store=tmp_path / "there", engine=pool, block=5)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


class Moved(torch.Tensor):
    """A tensor that notes where it is asked to go; it stays, for want of a GPU."""

    log: list[Any] = []  # noqa: RUF012 -- shared on purpose

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        Moved.log.append(args[0])
        return self.as_subclass(torch.Tensor).to(
            *(a for a in args if not _is_gpu(a)), **kwargs
        )


def _is_gpu(place: Any) -> bool:
    return isinstance(place, torch.device) and place.type == "cuda"


class Noting:
    """A design and a problem whose tensors note where they go."""

    n_models = DESIGN.n_models
    description = Counting().description

    def weights(self, rows: Tensor, n_train: int) -> Tensor:
        assert rows.device.type == "cpu"
        return DESIGN.weights(rows, n_train).as_subclass(Moved)

    def seeds(self, rows: Tensor) -> Tensor:
        return DESIGN.seeds(rows).as_subclass(Moved)

    def covariance(self, n_train: int) -> Tensor:
        return DESIGN.covariance(n_train)

    def respond(self, weights: Tensor, seeds: Tensor) -> Tensor:
        outputs = Counting().respond(weights, seeds).float().requires_grad_()
        return outputs.as_subclass(Moved)


def test_a_block_goes_to_the_device_and_its_outputs_come_back() -> None:
    noting: Any = Noting()
    Moved.log.clear()
    rows = torch.arange(5, 10)
    with device_given("cuda:1"):
        outputs = train_block(noting, noting, rows)
    gpu = torch.device("cuda", 1)
    assert Moved.log == [gpu, gpu, "cpu"]
    assert type(outputs) is Tensor
    assert (outputs.device.type, outputs.dtype) == ("cpu", torch.float64)
    assert not outputs.requires_grad
    expected = train_block(Counting(), DESIGN, rows)
    assert torch.equal(outputs, expected.float().double())


def on_the_device_it_was_given(weights: Tensor, seeds: Tensor) -> Tensor:
    assert weights.device == seeds.device == torch.device(worker_device().type)
    assert (weights.dtype, seeds.dtype) == (torch.float64, torch.int64)
    return weights[:, :2].float() + (seeds[:, None] % 8)


DESIGNS: list[Design] = [
    DESIGN,
    FixedSize(size=3, n_models=9, seed=1),
    ComplementaryPairs(n_pairs=4, seed=1),
    AntitheticPairs(p=0.5, n_pairs=4, seed=1),
]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: type(d).__name__)
def test_rows_are_made_on_the_cpu_whatever_the_device(design: Design) -> None:
    box = BlackBox(
        description=Counting().description,
        train_and_measure=on_the_device_it_was_given,
    )
    alone = collect(box, design, block=4)
    with device_given("cpu:1"):
        found = collect(box, design, block=4)
    assert torch.equal(found.outputs, alone.outputs)
    assert found.outputs.dtype == torch.float64


def test_this_process_trains_on_the_cpu_unless_told() -> None:
    assert worker_device() == torch.device("cpu")
    with device_given("cuda:1"):
        assert worker_device() == torch.device("cuda", 1)
    assert worker_device() == torch.device("cpu")


def test_a_gpu_becomes_the_one_that_the_process_uses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    with device_given("cpu"):
        give_device("cuda:1")
        assert worker_device() == torch.device("cuda", 1)
        give_device("cpu")
    assert chosen == ["cuda:1"]


def test_a_gpu_that_fails_is_reported_by_the_block_that_is_sent_there() -> None:
    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU here")
    pool = Processes(1)
    # A device that was there when the pool was made.
    pool._devices = ("cuda:0",)
    pool._pool = pool._start()
    try:
        with pytest.raises((AssertionError, RuntimeError), match=r"CUDA|NVIDIA"):
            collect(Counting(), DESIGN, engine=pool)
    finally:
        pool.close()


@pytest.mark.parametrize(
    ("n_gpus", "devices"), [(0, ("cpu",)), (1, ("cuda:0",)), (2, ("cuda:0", "cuda:1"))]
)
def test_every_gpu_is_a_device_and_the_cpu_where_there_is_none(
    n_gpus: int, devices: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, n_gpus)
    assert local_devices() == devices
    if n_gpus:
        assert parse_devices("cuda") == parse_devices(", ".join(devices)) == devices
    assert parse_devices("cpu") == ("cpu",)


@pytest.mark.parametrize(
    ("n_gpus", "text", "message"),
    [
        (0, "cuda", r"\(cpu\), got 'cuda': use cpu, or install a torch and a driver"),
        (0, "cuda:0", r"\(cpu\), got 'cuda:0': use cpu, or install"),
        (2, "cuda:0,cuda:2", r"\(cpu, cuda:0, cuda:1\), got 'cuda:2': use cuda:0"),
        (2, "cuda,cpu", "got 'cuda': use cuda:0, cuda:1 or cpu"),
        (0, "", "got '': use cpu"),
        (1, "cuda:0,", "got '': use cuda:0 or cpu"),
        (0, "gpu", "got 'gpu': use cpu"),
        (1, "mps", "got 'mps': use cuda:0 or cpu"),
        (1, "meta", "got 'meta'"),
        (1, "cuda:-1", "got 'cuda:-1'"),
    ],
)
def test_a_device_that_does_not_exist_is_refused_in_one_line(
    n_gpus: int, text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, n_gpus)
    with pytest.raises(ValueError, match=message) as caught:
        parse_devices(text)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("devices must be of this machine")


def test_a_pool_refuses_what_cannot_be() -> None:
    n_gpus = torch.cuda.device_count()
    with pytest.raises(ValueError, match="devices must be of this machine"):
        Processes(2, devices=(f"cuda:{n_gpus}",))
    with pytest.raises(ValueError, match="devices must name at least one"):
        Processes(2, devices=())
    with pytest.raises(ValueError, match="n_processes must be at least 1, got 0"):
        Processes(0, devices=TWO)
    with pytest.raises(TypeError, match=r"sequence of names, got 'cpu': write \['cpu"):
        check_devices("cpu")

"""The benchmark of models an hour: its peer learns, its counts and table are right."""

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import cifar_throughput, timing
from benchmarks.cifar_loop import Loop
from dmtheory.data import synthetic_images
from dmtheory.problems import FIDELITY, THROUGHPUT, Recipe

REHEARSAL = cifar_throughput.settings_of(Namespace(recipe="throughput", rehearse=True))


@pytest.mark.parametrize(
    ("recipe", "petaflop"), [(THROUGHPUT, 0.142), (FIDELITY, 1.049)]
)
def test_operations_are_those_counted_by_hand(recipe: Recipe, petaflop: float) -> None:
    """Of 25,000 images; whole batches, and no gradient of the images, take 5 % off."""
    data = synthetic_images(n_train=50, n_targets=1, n_test=1)
    settings = replace(REHEARSAL, recipe=recipe, data=data)
    images = cifar_throughput.visited(settings) / recipe.epochs
    found = cifar_throughput.operations(settings) / images * 25_000
    assert 0.95 * petaflop < found / 1e15 < 1.01 * petaflop


def test_a_rehearsal_writes_a_table_that_its_blocks_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(timing, "RESULTS", tmp_path)
    cifar_throughput.main(["--rehearse"])
    printed = json.loads(capsys.readouterr().out)
    kept = json.loads((tmp_path / "cifar_throughput_rehearsal.json").read_text())
    assert printed == kept
    assert kept["rehearsal"] is True
    assert set(kept["sides"]) == {"loop", "1 at a time", "2 at a time"}
    for side in kept["sides"].values():
        rates = [3600 * models / seconds for models, seconds in side["blocks"]]
        assert side["models an hour"]["max"] == pytest.approx(max(rates))
        assert side["models an hour"]["min"] == pytest.approx(min(rates))
        middle = side["models an hour"]["median"] / 3600 * kept["operations a model"]
        share = middle / kept["measured operations a second"]
        assert side["share of the peak (MFU)"] == pytest.approx(share)
        n_models = sum(models for models, _ in side["blocks"])
        assert side["accuracy"]["models"] == n_models
    ours, loop = (kept["sides"][name]["blocks"] for name in ("1 at a time", "loop"))
    ratios = sorted(t / o for (_, o), (_, t) in zip(ours, loop, strict=True))
    found = kept["over the loop"]["1 at a time"]
    assert found["median"] == pytest.approx(sum(ratios) / 2)


def test_the_peer_learns() -> None:
    data = synthetic_images(n_train=80, n_targets=1, n_test=20, n_classes=4)
    loop = Loop(
        THROUGHPUT.smaller(width=4, epochs=4, batch_size=20),
        data,
        dtype=torch.float32,
        device=torch.device("cpu"),
        compiled=False,
    )
    assert loop.accuracy(torch.ones(80), 0) > 0.8


def test_a_missing_gpu_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no CUDA device here: use --rehearse"):
        cifar_throughput.main(["--device", "cuda"])

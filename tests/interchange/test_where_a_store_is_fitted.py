"""A store is regressed on the device that was asked for, with the same result."""

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from dmtheory import collect, fit_datamodel
from dmtheory.catalogue import ready_problem
from dmtheory.cli import cli
from dmtheory.datamodels import fit
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.designs import FixedSize
from dmtheory.files import load_attribution
from dmtheory.responses.store import read_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "run.zarr"
    design = FixedSize(size=175, n_models=30, seed=1)
    collect(ready_problem("diabetes-ridge"), design, store=path)
    return path


def test_a_fit_names_the_device_to_the_store(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    plain = fit.from_store

    def spying(store: Any, *, device: Any) -> Any:
        asked.append(device)
        return plain(store, device="cpu")

    estimator = Ridge(l2_penalties=(0.1,))
    alone = fit_datamodel(read_store(store), estimator=estimator)
    monkeypatch.setattr(fit, "from_store", spying)
    there = fit_datamodel(read_store(store), estimator=estimator, device="cuda:1")
    fit_datamodel(read_store(store), estimator=estimator)
    assert asked == ["cuda:1", "cpu"]
    assert torch.equal(there.scores, alone.scores)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (("--device", "nowhere"), "nowhere"),
        (("--device", "cuda:7"), "cuda:7"),
    ],
)
def test_a_device_that_is_not_there_is_named(
    store: Path, tmp_path: Path, given: tuple[str, ...], match: str
) -> None:
    out = tmp_path / "fit.npz"
    command = ["fit", "--store", str(store), "--out", str(out), *given]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code != 0 and not out.exists()
    assert match in result.output + str(result.exception)


def test_the_command_takes_a_device_of_a_store_only(
    store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "fit.npz"
    ridge = ["--estimator", "ridge", "--penalties", "0.1", "--out", str(out)]
    stored = ["fit", "--store", str(store), "--device", "cpu", *ridge]
    result = CliRunner().invoke(cli, stored)
    assert result.exit_code == 0, result.output
    alone = fit_datamodel(read_store(store), estimator=Ridge(l2_penalties=(0.1,)))
    assert torch.equal(load_attribution(out).scores, alone.scores)
    trained = ["fit", "--problem", "diabetes-ridge", "--device", "cuda", *ridge]
    result = CliRunner().invoke(cli, trained)
    assert result.exit_code == 2 and "device is for --store" in result.output

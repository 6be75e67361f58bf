"""`dmtheory lds`, as a user runs it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from dmtheory import collect, fit_datamodel, lds
from dmtheory.cli import cli
from dmtheory.designs import Bernoulli, ComplementaryPairs, Replicates
from dmtheory.files import load_attribution, save_attribution
from dmtheory.problems import SampleMean

PROBLEM = SampleMean(values=torch.arange(8.0, dtype=torch.float64).square())
LAW = Bernoulli(p=0.5, n_models=80, seed=5)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["lds", *arguments])


def shown(*arguments: str) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.output)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two attributions, a run and its arrays."""
    monkeypatch.chdir(tmp_path)
    for name, n_models in (("good.npz", 400), ("poor.npz", 14)):
        found = fit_datamodel(collect(PROBLEM, Bernoulli(p=0.5, n_models=n_models)))
        save_attribution(found, Path(name))
    responses = collect(PROBLEM, LAW, store="run.zarr")
    np.save("masks.npy", responses.weights().numpy())
    np.save("outputs.npy", responses.outputs.numpy())
    return tmp_path


ARRAYS = ("--masks", "masks.npy", "--outputs", "outputs.npy")


def test_a_table_on_a_store_is_that_of_the_library(here: Path) -> None:
    values = shown("--scores", "good.npz", "poor.npz", "--store", "run.zarr")
    good, poor = values["rows"]
    assert (good["name"], poor["name"]) == ("good.npz", "poor.npz")
    for row in (good, poor):
        attribution = load_attribution(Path(row["name"]))
        expected = lds(attribution, collect(PROBLEM, LAW))
        assert row["lds"]["value"] == expected.mean.value
        assert row["lds"]["low"] == expected.mean.low
        assert row["targets"]["mean"]["value"] == expected.mean.value
        assert row["ceiling"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert good["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    gap = poor["lds"]["value"] - good["lds"]["value"]
    assert poor["difference"]["value"] == pytest.approx(gap)
    assert poor["difference"]["high"] < 0
    assert (values["subsets"], values["models"], values["draws"]) == (80, 80, 1000)


def test_arrays_give_the_same_score_without_a_ceiling(here: Path) -> None:
    on_store = shown("--scores", "good.npz", "--store", "run.zarr")["rows"][0]
    on_arrays = shown("--scores", "good.npz", *ARRAYS)["rows"][0]
    assert on_arrays["lds"] == on_store["lds"]
    assert on_arrays["ceiling"] is None


def test_replicates_of_arrays_are_averaged(here: Path) -> None:
    design = Replicates(design=LAW, n_replicates=2)
    weights = design.weights(torch.arange(160), 8)
    noise = np.random.default_rng(0).normal(size=(160, 1))
    outputs = PROBLEM.respond(weights, design.seeds(torch.arange(160)))
    np.save("masks.npy", weights.numpy())
    np.save("outputs.npy", outputs.numpy() + 3 * noise)
    values = shown("--scores", "good.npz", *ARRAYS, "--replicates", "2")
    assert (values["subsets"], values["seeds"]) == (80, 2)
    row = values["rows"][0]
    assert 0 < row["ceiling"]["low"] < row["ceiling"]["value"] < 1


def test_pairs_are_drawn_as_pairs(here: Path) -> None:
    responses = collect(PROBLEM, ComplementaryPairs(n_pairs=40, seed=5))
    np.save("masks.npy", responses.weights().numpy())
    np.save("outputs.npy", responses.outputs.numpy())
    paired = shown("--scores", "good.npz", *ARRAYS, "--design", "pairs")["rows"][0]
    single = shown("--scores", "good.npz", *ARRAYS)["rows"][0]
    assert paired["lds"]["value"] == single["lds"]["value"]
    assert paired["lds"]["low"] != single["lds"]["low"]


def test_the_table_for_people(here: Path) -> None:
    done = run("--scores", "good.npz", "poor.npz", "--store", "run.zarr")
    assert done.exit_code == 0, done.output
    for text in ("80 held-out subsets", "good.npz", "poor.npz", "ceiling", "1.0000"):
        assert text in done.output
    done = run("--scores", "good.npz", *ARRAYS)
    assert "ceiling unknown: it takes several seeds" in done.output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--scores", "good.npz"), "give either --store, or --masks with --outputs"),
        (("--scores", "good.npz", "--masks", "masks.npy"), "--masks with --outputs"),
        (
            ("--scores", "good.npz", *ARRAYS, "--store", "run.zarr"),
            "give either --store",
        ),
        (
            ("--scores", "good.npz", "--store", "run.zarr", "--design", "pairs"),
            "are for arrays only",
        ),
        (("--scores", "absent.npz", *ARRAYS), "file must exist, got absent.npz"),
        (("--scores", "masks.npy", *ARRAYS), "must be an attribution file"),
        (("--scores", "good.npz", "--store", "no.zarr"), "store must exist"),
        (("--scores", "good.npz", "good.npz", *ARRAYS), "distinct names"),
        (("--scores", "good.npz", *ARRAYS, "--design", "odd"), "design must look like"),
        (("--scores", "good.npz", *ARRAYS, "--replicates", "3"), "multiple of 3 rows"),
        (("--scores", "good.npz", *ARRAYS, "--replicates", "0"), "at least 1, got 0"),
        (("--scores", "good.npz", *ARRAYS, "--draws", "5"), "draws must be at least"),
        (
            (
                "--scores",
                "good.npz",
                "--masks",
                "outputs.npy",
                "--outputs",
                "masks.npy",
            ),
            "must have shapes",
        ),
    ],
)
def test_wrong_input_is_named(
    here: Path, arguments: tuple[str, ...], named: str
) -> None:
    done = run(*arguments)
    assert done.exit_code != 0
    assert named in f"{done.output} {done.exception}"


def test_models_that_made_the_scores_cannot_judge_them(here: Path) -> None:
    collect(PROBLEM, Bernoulli(p=0.5, n_models=80), store="same.zarr")
    done = run("--scores", "good.npz", "--store", "same.zarr")
    assert "must share no seeds, got experiment seed 0" in str(done.exception)

"""`dmtheory fit` as a user runs it, with every estimator and a prior."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from samples import normal

from dmtheory import Attribution, fit_datamodel
from dmtheory.cli import cli
from dmtheory.datamodels.estimators.difference import DifferenceOfMeans
from dmtheory.datamodels.estimators.ols import OLS
from dmtheory.datamodels.estimators.ridge import Ridge
from dmtheory.datamodels.lasso.lasso import Lasso
from dmtheory.designs import ComplementaryPairs, FixedSize
from dmtheory.files import load_attribution

N_MODELS, N_TRAIN = 80, 6


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, ["fit", *(str(a) for a in arguments)])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with masks of pairs and outputs, and stand in it."""
    masks = ComplementaryPairs(n_pairs=40, seed=1).weights(
        torch.arange(N_MODELS), N_TRAIN
    )
    outputs = masks @ normal(N_TRAIN, 2, seed=1) + normal(N_MODELS, 2, seed=2)
    np.save(tmp_path / "m.npy", masks.numpy().astype(np.int8))
    np.save(tmp_path / "y.npy", outputs.numpy())
    monkeypatch.chdir(tmp_path)
    return tmp_path


ARRAYS = ("--masks", "m.npy", "--outputs", "y.npy", "--out", "a.npz")


def fitted(*arguments: Any) -> Attribution:
    done = run(*ARRAYS, *arguments)
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    return load_attribution(Path("a.npz"))


@pytest.mark.parametrize(
    ("arguments", "estimator"),
    [
        ((), OLS()),
        (("--errors", "robust"), OLS(errors="robust")),
        (("--estimator", "difference"), DifferenceOfMeans()),
        (("--estimator", "ridge"), Ridge()),
        (
            ("--estimator", "ridge", "--penalties", "0.1,0.01"),
            Ridge(l2_penalties=(0.1, 0.01)),
        ),
        (("--estimator", "lasso"), Lasso()),
        (("--estimator", "lasso", "--penalties", "0.1"), Lasso(l1_penalties=(0.1,))),
    ],
)
def test_every_estimator_is_that_of_the_library(
    here: Path, arguments: tuple[str, ...], estimator: Any
) -> None:
    found = fitted("--design", "pairs", *arguments)
    expected = fit_datamodel(
        np.load("m.npy"),
        np.load("y.npy"),
        design=ComplementaryPairs(n_pairs=40),
        estimator=estimator,
    )
    assert torch.equal(found.scores, expected.scores)
    assert (found.stderr is None) == (expected.stderr is None)
    if found.stderr is not None and expected.stderr is not None:
        assert torch.equal(found.stderr, expected.stderr)
    assert found.method == expected.method


def test_a_prior_is_shrunk_toward(here: Path) -> None:
    fitted("--design", "pairs")
    Path("a.npz").rename("prior.npz")
    # The same models again would make the choice of the strength meaningless.
    done = run(*ARRAYS, "--design", "pairs", "--prior", "prior.npz")
    assert done.exit_code != 0
    assert "prior must come from other models" in str(done.exception)
    np.save("y.npy", np.load("y.npy") + 1)
    found = fitted("--design", "pairs", "--prior", "prior.npz")
    assert found.n_models == 2 * N_MODELS
    assert "toward datamodel" in found.method


def test_masks_of_one_size_are_fitted_by_that_law(here: Path) -> None:
    masks = FixedSize(size=2, seed=1).weights(torch.arange(50), N_TRAIN)
    np.save("m.npy", masks.numpy())
    np.save("y.npy", normal(50, 1, seed=1).numpy())
    found = fitted("--design", "fixed-size:2")
    assert found.estimand.point.law == "fixed size"
    assert found.scores.sum().abs() < 1e-10
    assert fitted("--design", "leave-k-out:4").scores.sum().abs() < 1e-10


def test_a_store_gives_what_its_responses_give(here: Path) -> None:
    quick = ("--problem", "diabetes-ridge", "--models", "400", "--block", "64")
    collected = CliRunner().invoke(cli, ["collect", *quick, "--store", "run.zarr"])
    assert collected.exit_code == 0, collected.output
    store = ("--store", "run.zarr", "--estimator", "ridge", "--out", "a.npz")
    done = run(*store, "--json")
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    assert json.loads(done.output)["models"] == 400
    assert "Ridge on Bernoulli, 400 models, residual" in done.output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((*ARRAYS,), "design must say how the masks were drawn"),
        ((*ARRAYS, "--design", "bernoulli:0.9"), "p = 0.9 was stated"),
        ((*ARRAYS, "--design", "coins"), "design must look like bernoulli:0.5"),
        ((*ARRAYS, "--design", "pairs", "--penalties", "0.1"), "penalties need ridge"),
        (
            (*ARRAYS, "--design", "pairs", "--estimator", "ridge", "--penalties", "a"),
            "penalties must look like 0.1,0.01, got 'a'",
        ),
        (
            (*ARRAYS, "--design", "pairs", "--estimator", "lasso", "--penalties", "-1"),
            "l1_penalties must be finite and > 0",
        ),
        (
            (*ARRAYS, "--design", "pairs", "--estimator", "ols", "--prior", "p.npz"),
            "prior needs --estimator ridge, got ols",
        ),
        (
            (*ARRAYS, "--design", "pairs", "--prior", "p.npz"),
            "file must exist, got p.npz",
        ),
        (
            (
                *ARRAYS,
                "--design",
                "pairs",
                "--estimator",
                "lasso",
                "--errors",
                "robust",
            ),
            "robust errors need ols, or ridge",
        ),
        (
            (*ARRAYS, "--problem", "diabetes-ridge"),
            "give one of --store, --problem, or --masks",
        ),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(
    here: Path, arguments: tuple[str, ...], named: str
) -> None:
    done = run(*arguments)
    assert done.exit_code != 0
    assert named in f"{done.output} {done.exception}"
    assert sorted(path.name for path in here.iterdir()) == ["m.npy", "y.npy"]


def test_help_says_what_the_penalties_are() -> None:
    done = run("--help")
    assert done.exit_code == 0
    assert "lambda" in done.output

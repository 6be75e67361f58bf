"""`dmtheory influence`, as a user runs it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from dmtheory import GaussNewton, influence
from dmtheory.catalogue import ready_problem
from dmtheory.cli import cli
from dmtheory.designs import Bernoulli
from dmtheory.files import load_attribution
from dmtheory.influence.curvature import EKFAC, KFAC, EmpiricalFisher, Fisher

NETWORK = ("influence", "--problem", "digits-network", "--damping", "0.05")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, out: bool = True) -> Result:
    more = ("--out", "found.npz") if out else ()
    return CliRunner().invoke(cli, [*arguments, *more])


def scores(*arguments: str) -> tuple[torch.Tensor, dict[str, Any]]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return load_attribution(Path("found.npz")).scores, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("words", "curvature"),
    [
        (("ggn",), GaussNewton()),
        (("ggn", "--solver", "cg", "--tolerance", "1e-11", "--rank", "50"), None),
        (("ggn", "--solver", "dense"), None),
        (("fisher",), Fisher()),
        (("empirical-fisher", "--solver", "woodbury"), EmpiricalFisher()),
    ],
)
def test_curvatures_and_solvers_by_name(words: Any, curvature: Any) -> None:
    found, said = scores(*NETWORK, "--curvature", *words)
    expected = influence(
        ready_problem("digits-network"),  # type: ignore[arg-type]
        curvature=curvature or GaussNewton(),
        damping=0.05,
        seed=2,
    )
    near = 1e-8 * expected.scores.abs().max().item()
    torch.testing.assert_close(found, expected.scores, rtol=0, atol=near)
    assert "residual at most" in said["method"]
    assert said["models"] == 1


def test_kronecker_factors_by_name() -> None:
    pytest.importorskip("curvlinops", reason="needs the extra `curvature`")
    problem: Any = ready_problem("digits-network")
    for curvature in (KFAC(), EKFAC()):
        name = curvature.name.replace("-", "").lower()
        found, said = scores(*NETWORK, "--curvature", name, "--memory", "64")
        assert said["method"].startswith(f"{curvature.name}, damping 0.05, eigenbasis")
        expected = influence(problem, curvature=curvature, damping=0.05, seed=2)
        torch.testing.assert_close(found, expected.scores)


@pytest.mark.parametrize("solver", ["lanczos", "nystroem"])
def test_approximate_solvers_say_their_residual(solver: str) -> None:
    words = (*NETWORK, "--curvature", "ggn", "--solver", solver)
    _, few = scores(*words, "--rank", "10")
    _, many = scores(*words, "--rank", "400")
    residuals = [
        float(said["method"].split("residual at most ")[1].split(",")[0])
        for said in (few, many)
    ]
    assert residuals[0] > 0.1
    assert residuals[1] < 0.5 * residuals[0]


def test_points_coordinates_and_a_store() -> None:
    words = ("influence", "--problem", "breast-cancer-logistic")
    problem: Any = ready_problem("breast-cancer-logistic")
    weights = torch.linspace(0.5, 1.5, 400).double()
    np.save("w.npy", weights.numpy())
    found, said = scores(*words, "--at", "w.npy")
    torch.testing.assert_close(found, influence(problem, at=weights).scores)
    assert "influence at w = " in said["estimand"]
    law = Bernoulli(p=0.5, n_models=4)
    found, said = scores(*words, "--at", "bernoulli:0.5", "--seeds", "4")
    torch.testing.assert_close(found, influence(problem, at=law, seed=2).scores)
    assert said["models"] == 4
    some, said = scores(*words, "--coordinates", "5", "--store", "kept.zarr")
    assert said["examples"] == 5
    again, _ = scores(*words, "--coordinates", "5", "--store", "kept.zarr")
    assert torch.equal(some, again)
    labels = load_attribution(Path("found.npz")).train_labels
    whole = influence(problem).restricted(train=labels).scores
    torch.testing.assert_close(some, whole, rtol=1e-7, atol=1e-10)


def test_stores_of_scores_and_of_responses_are_told_apart() -> None:
    problem = "--problem", "breast-cancer-logistic"
    few = "--coordinates", "5"
    assert run("influence", *problem, *few, "--store", "kept").exit_code == 0
    made = run("collect", *problem, "--models", "4", "--store", "trained", out=False)
    assert made.exit_code == 0
    responses = "store must hold responses of trained models, but kept holds scores of"
    for words in (
        ("fit", "--store", "kept", "--out", "d.npz"),
        ("verify", "kept"),
        ("lds", "--scores", "found.npz", "--store", "kept"),
        ("merge", "merged", "kept"),
        ("collect", *problem, "--models", "4", "--store", "kept"),
    ):
        done = run(*words, out=False)
        assert done.exit_code != 0
        assert str(done.exception).startswith(responses), words
        assert "\n" not in str(done.exception)
    done = run("influence", *problem, *few, "--store", "trained")
    assert str(done.exception).startswith(
        "store must hold scores of influence, but trained holds responses of trained"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rank", "5"), "rank needs --solver cg or lanczos or nystroem, got auto"),
        (("--solver", "dense", "--depth", "5"), "depth needs --solver lissa, got"),
        (("--at", "nowhere"), "at must be a number, bernoulli:P or FILE.npy"),
        (("--memory", "0"), "must be at least 1, got 0"),
        (("--solver", "woodbury"), "curvature must be a sum of outer products"),
    ],
)
def test_what_makes_no_sense_is_refused(words: Any, message: str) -> None:
    done = run("influence", "--problem", "diabetes-ridge", *words)
    assert done.exit_code != 0
    assert message in f"{done.output} {done.exception}"

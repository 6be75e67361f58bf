"""`dmtheory derive` as a user runs it, by every method."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from samples import normal

from dmtheory import (
    Attribution,
    AveragedDerivative,
    ByInfluence,
    DifferenceOfMeans,
    Examples,
    FiniteDifference,
    Forward,
    ForwardMode,
    GaussNewton,
    Groups,
    Implicit,
    Ladder,
    OwnWeight,
    Pathwise,
    RandomDirections,
    ReverseMode,
    Richardson,
    Ridge,
    designs,
    response_derivative,
)
from dmtheory.catalogue import ready_problem
from dmtheory.cli import cli
from dmtheory.files import load_attribution

N_TRAIN = 350
PROBLEM = ready_problem("diabetes-ridge", "count")
SOME = designs.random_coordinates(N_TRAIN, 3, seed=1)
GROUPS = designs.random_groups(N_TRAIN, 5, seed=1)


def run(*arguments: Any) -> Result:
    problem = ("--problem", "diabetes-ridge", "--normalisation", "count")
    stated = ["derive", *problem, "--out", "a.npz", *(str(a) for a in arguments)]
    return CliRunner().invoke(cli, stated)


def derived(*arguments: Any) -> Attribution:
    done = run(*arguments)
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    return load_attribution(Path("a.npz"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "method", "stated"),
    [
        ("--coordinates 3", FiniteDifference(), {"coordinates": SOME}),
        (
            "--coordinates 3 --step 0.2 --rule richardson --at 0.5",
            FiniteDifference(step=0.2, rule=Richardson()),
            {"coordinates": SOME, "at": 0.5},
        ),
        (
            "--coordinates 3 --steps 0.4,0.1 --rule forward",
            FiniteDifference(step=Ladder((0.4, 0.1)), rule=Forward()),
            {"coordinates": SOME},
        ),
        ("--groups 5", FiniteDifference(along=Groups(groups=GROUPS)), {}),
        (
            "--groups 5 --coordinates 2 --seed 4",
            FiniteDifference(
                along=Groups(
                    groups=designs.random_groups(N_TRAIN, 5, seed=4),
                    chosen=designs.random_coordinates(5, 2, seed=4),
                )
            ),
            {"seed": 4},
        ),
        (
            "--coordinates 3 --at bernoulli:0.5 --seeds 2",
            FiniteDifference(n_seeds=2, along=Examples()),
            {"coordinates": SOME, "at": designs.Bernoulli(p=0.5)},
        ),
        (
            "--method random-directions --pairs 40 --step 0.3 --estimator ridge",
            RandomDirections(n_pairs=40, step=0.3, estimator=Ridge()),
            {},
        ),
        (
            "--method random-directions --pairs 40 --law sparse --density 0.2 "
            "--estimator difference --coordinates 3",
            RandomDirections(
                n_pairs=40, law="sparse", density=0.2, estimator=DifferenceOfMeans()
            ),
            {"coordinates": SOME},
        ),
        (
            "--method random-directions --groups 5 --coordinates 2",
            RandomDirections(
                along=Groups(
                    groups=GROUPS, chosen=designs.random_coordinates(5, 2, seed=1)
                )
            ),
            {},
        ),
        ("--method implicit --at 0.5", Implicit(), {"at": 0.5}),
        (
            "--method implicit --groups 5 --coordinates 2",
            Implicit(
                along=Groups(
                    groups=GROUPS, chosen=designs.random_coordinates(5, 2, seed=1)
                )
            ),
            {},
        ),
        (
            "--method implicit --at bernoulli:0.3 --seeds 4 --coordinates 3",
            Implicit(n_subsets=4),
            {"coordinates": SOME, "at": designs.Bernoulli(p=0.3)},
        ),
        (
            "--method averaged --by implicit --rule own-weight --seeds 3 "
            "--coordinates 3 --at bernoulli:0.3",
            AveragedDerivative(by=Implicit(), rule=OwnWeight(), n_units=3),
            {"coordinates": SOME, "at": designs.Bernoulli(p=0.3)},
        ),
        (
            "--method averaged --by influence --damping 0.1 --groups 5 --seeds 3 "
            "--at bernoulli:0.5",
            AveragedDerivative(
                by=ByInfluence(curvature=GaussNewton(), damping=0.1),
                n_units=3,
                along=Groups(groups=GROUPS),
            ),
            {"at": designs.Bernoulli(p=0.5)},
        ),
    ],
)
def test_every_method_is_that_of_the_library(
    arguments: str, method: Any, stated: dict[str, Any]
) -> None:
    found = derived(*arguments.split())
    expected = response_derivative(PROBLEM, method, **{"seed": 1, **stated})
    assert torch.equal(found.scores, expected.scores)
    assert found.train_labels == expected.train_labels
    assert (found.n_models, found.method) == (expected.n_models, expected.method)
    assert found.estimand == expected.estimand
    if expected.stderr is not None:
        assert found.stderr is not None
        assert torch.equal(found.stderr, expected.stderr)


SMALL = """
import torch

from dmtheory.data import digits
from dmtheory.problems import MLP, SGD, BlackBox, Description, Network


def network(**changes):
    return Network(
        make_module=MLP((64, 4, 10)),
        data=digits(n_train=30, n_targets=5),
        training=SGD(epochs=2, batch_size=10),
        **changes,
    )


small = network()
single = network(dtype=torch.float32)
black_box = BlackBox(
    description=Description(
        name="made-up",
        digest="made-up",
        output="sum",
        normalisation="count",
        step_policy="fixed",
        train_labels=("a", "b", "c"),
        target_labels=("question",),
    ),
    train_and_measure=lambda weights, seeds: weights.sum(1, keepdim=True),
)
flips = BlackBox(
    description=Description(
        name="made-up",
        digest="flips",
        output="accuracy",
        normalisation="count",
        step_policy="fixed",
        train_labels=("a", "b", "c"),
        target_labels=("question",),
    ),
    train_and_measure=lambda weights, seeds: (weights[:, :1] > 1).double(),
)
"""


@pytest.fixture(scope="module")
def own_problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "derive_problems.py"
    path.write_text(SMALL, encoding="utf-8")
    return path


def run_own(path: Path, name: str, arguments: str) -> Result:
    stated = ["--problem", f"{path}:{name}", "--out", "a.npz", *arguments.split()]
    return CliRunner().invoke(cli, ["derive", *stated])


@pytest.mark.parametrize(
    ("arguments", "method", "stated"),
    [
        ("--method pathwise --seeds 3", Pathwise(n_seeds=3, mode=ReverseMode()), {}),
        (
            "--method pathwise --coordinates 3 --seeds 3",
            Pathwise(n_seeds=3, mode=ForwardMode()),
            {"coordinates": designs.random_coordinates(30, 3, seed=1)},
        ),
        (
            "--method pathwise --coordinates 3 --mode reverse --memory 1 --at 0.5",
            Pathwise(mode=ReverseMode(memory=2**20)),
            {"coordinates": designs.random_coordinates(30, 3, seed=1), "at": 0.5},
        ),
        (
            "--method pathwise --groups 4 --mode forward --memory 1 --seeds 2 "
            "--at bernoulli:0.5",
            Pathwise(
                n_seeds=2,
                mode=ForwardMode(memory=2**20),
                along=Groups(groups=designs.random_groups(30, 4, seed=1)),
            ),
            {"at": designs.Bernoulli(p=0.5)},
        ),
        (
            "--method averaged --seeds 2 --at bernoulli:0.5",
            AveragedDerivative(by=Pathwise(mode=ReverseMode()), n_units=2),
            {"at": designs.Bernoulli(p=0.5)},
        ),
        (
            "--method averaged --rule own-weight --seeds 2 --coordinates 3 "
            "--at bernoulli:0.5",
            AveragedDerivative(
                by=Pathwise(mode=ForwardMode()), rule=OwnWeight(), n_units=2
            ),
            {
                "coordinates": designs.random_coordinates(30, 3, seed=1),
                "at": designs.Bernoulli(p=0.5),
            },
        ),
    ],
)
def test_through_training_too(
    own_problems: Path, arguments: str, method: Any, stated: dict[str, Any]
) -> None:
    done = run_own(own_problems, "small", f"{arguments} --json")
    assert done.exit_code == 0, f"{done.output} {done.exception}"
    found = load_attribution(Path("a.npz"))
    problem = ready_problem(f"{own_problems}:small")
    expected = response_derivative(problem, method, **{"seed": 1, **stated})
    assert torch.equal(found.scores, expected.scores)
    assert found.estimand == expected.estimand
    assert found.train_labels == expected.train_labels
    said = json.loads(done.stdout)
    assert (said["models"], said["method"]) == (expected.n_models, expected.method)
    assert expected.stderr is not None
    median = float(np.median(expected.stderr.numpy()))
    assert said["median standard error"] == pytest.approx(median)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("black_box", "--method pathwise", "must offer its training step by step"),
        ("black_box", "--method implicit", "must be convex and solved to its optimum"),
        (
            "black_box",
            "--method averaged --by influence --at bernoulli:0.5",
            "must offer its losses and outputs as functions",
        ),
        ("black_box", "--method averaged --at bernoulli:0.5", "got BlackBox"),
        ("flips", "--method pathwise", "output must be smooth for a pathwise"),
        ("single", "--method pathwise", "must train in float64 for a pathwise"),
        (
            "single",
            "--method averaged --by influence --damping 0.1 --at bernoulli:0.5",
            "float64",
        ),
        ("small", "--method implicit", "got Network: use Pathwise"),
        ("small", "--method averaged", "at must be a subset law for an averaged"),
    ],
)
def test_what_a_method_cannot_serve_is_one_line(
    own_problems: Path, name: str, arguments: str, message: str
) -> None:
    done = run_own(own_problems, name, arguments)
    assert isinstance(done.exception, ValueError)
    assert re.search(message, str(done.exception))
    assert "\n" not in str(done.exception)
    assert not Path("a.npz").exists()


def test_twice_as_many_pairs_as_examples_by_default() -> None:
    done = run("--method", "random-directions", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["models"] == 4 * N_TRAIN


def test_the_point_may_be_a_file_of_weights() -> None:
    weights = normal(N_TRAIN, seed=1).abs()
    weights[SOME[0]] = 0.0
    np.save("w.npy", weights.numpy())
    found = derived("--at", "w.npy", "--coordinates", 3, "--step", 1e-3)
    method = FiniteDifference(step=1e-3)
    expected = response_derivative(PROBLEM, method, at=weights, coordinates=SOME)
    assert torch.equal(found.scores, expected.scores)
    assert found.estimand.point.kind == "vector"
    assert "one-sided in 1 row(s)" in found.method


def test_json_tells_the_ladder_and_the_error() -> None:
    done = run("--coordinates", 3, "--steps", "0.1,0.4", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert [rung["step"] for rung in said["ladder"]] == [0.4, 0.1]
    for rung in said["ladder"]:
        assert rung["total"] == pytest.approx(np.hypot(rung["bias"], rung["noise"]))
    assert said["models"] == 4 * 3
    assert said["median standard error"] == 0
    assert said["method"].startswith("central differences, step 0.1 of 0.4, 0.1 (bias")
    plain = run("--coordinates", 3)
    assert "median standard error: 0.0\n" in plain.stdout
    assert "ladder" not in plain.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--pairs 5", "pairs needs --method random-directions, got finite-difference"),
        (
            "--method random-directions --seeds 3",
            "seeds needs --method finite-difference or pathwise or implicit or "
            "averaged, got random-directions",
        ),
        ("--mode forward", "mode needs --method pathwise or averaged, got finite-d"),
        ("--method pathwise --by implicit", "by needs --method averaged, got pathwise"),
        (
            "--method averaged --by implicit --memory 4",
            "memory needs --by pathwise, got implicit",
        ),
        ("--method averaged --damping 1", "damping needs --by influence, got pathwise"),
        (
            "--rule own-weight",
            "rule must be central or forward or richardson for --method finite-diff",
        ),
        (
            "--method averaged --rule forward",
            "rule must be trapezoid or own-weight for --method averaged, got forward",
        ),
        ("--step 0.1 --steps 0.1,0.2", "give one of --step and --steps"),
        ("--steps 0.1;0.2", "steps must look like 0.2,0.1,0.05, got '0.1;0.2'"),
        ("--at half", "at must be a number, bernoulli:P or FILE.npy, got 'half'"),
        ("--at bernoulli:2", "at must be a number, bernoulli:P or FILE.npy"),
        ("--at none.npy", "file must exist, got none.npy"),
        ("--at 0", "at must be finite and > 0, got 0"),
        ("--rule backward", "'backward' is not one of"),
        ("--groups 400", "n_train must be at least 400, got 350"),
        ("--coordinates 400", r"n must lie in [1, 350], got 400"),
    ],
)
def test_what_does_not_go_together_is_one_line(arguments: str, message: str) -> None:
    done = run(*arguments.split())
    assert done.exit_code != 0
    assert message in f"{done.output} {done.exception}"
    assert not Path("a.npz").exists()

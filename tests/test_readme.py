"""The README's snippets run as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dmtheory.cli import cli

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
PRINTED = re.findall(r"```text\n(.*?)```", TEXT, flags=re.DOTALL)


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_own_arrays_prints_what_the_readme_says() -> None:
    assert run(SNIPPETS[0]) == PRINTED[0]


def test_own_model_finds_the_factor_two() -> None:
    printed = run(SNIPPETS[1])
    slope = float(re.search(r"w = 1: ([\d.]+)", printed)[1])
    assert "leading order: 2\n" in printed
    assert slope == pytest.approx(2.1, abs=0.2)


def test_command_lines_run_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command of the README, in its order, in one folder."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    block = next(block for block in blocks if "dmtheory fit" in block)
    *lines, last = block.strip().splitlines()
    for line in lines:
        program, *arguments = line.split()
        assert program == "dmtheory"
        done = CliRunner().invoke(cli, arguments)
        assert done.exit_code == 0, f"{line}: {done.output} {done.exception}"
        assert done.stdout
    # One as a program of its own, which takes as long to start as it runs.
    program, *arguments = last.split()
    assert program == "dmtheory"
    command = "from dmtheory.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_quoted_figures_of_the_concepts_hold() -> None:
    """docs/concepts.md: slope near .85 on the trapezoid, near 1 on the average."""
    from dmtheory import (
        FiniteDifference,
        agreement,
        collect,
        data,
        fit_datamodel,
        influence,
        problems,
        response_derivative,
    )
    from dmtheory.designs import Bernoulli, random_coordinates

    problem = problems.LogisticRegression(data=data.breast_cancer(), ridge=1e-2)
    datamodel = fit_datamodel(collect(problem, Bernoulli(p=0.5, n_models=2000, seed=1)))
    trapezoid = influence(problem, at=Bernoulli(p=0.5, n_models=200), seed=2)
    assert agreement(datamodel, trapezoid).slope.value == pytest.approx(0.85, abs=0.05)
    chosen = random_coordinates(400, 48, seed=0)
    average = response_derivative(
        problem,
        FiniteDifference(step=0.05, n_seeds=20),
        at=Bernoulli(p=0.5),
        coordinates=chosen,
        seed=3,
    )
    same = datamodel.restricted(average.train_labels)
    assert agreement(same, average).slope.value == pytest.approx(1.0, abs=0.05)

"""Code and commands of documents that print nothing: they run as they are written."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from synthetic_run import synthetic_environment, synthetic_results
from test_examples import blocks

import dmtheory.data
from dmtheory.cli import cli
from dmtheory.data import breast_cancer, synthetic_images
from dmtheory.influence import solvers
from dmtheory.influence.classical import influence
from dmtheory.influence.curvature import EKFAC, GaussNewton
from dmtheory.problems import SMOOTH, Cifar, LogisticRegression
from reports.__main__ import main

DOCS = Path(__file__).parents[2] / "docs"


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_images_are_loaded_and_trained_as_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a CPU, narrow, in single precision, with made-up images for the archive's."""
    asked: list[tuple[Any, ...]] = []

    def archive(*given: Any, **sizes: int) -> Any:
        asked.append((*given, *sizes.items()))
        return synthetic_images(n_train=12, n_targets=2, n_test=4)

    monkeypatch.setattr(dmtheory.data, "cifar10", archive)
    loading, training, deriving = blocks(text_of("cifar10.md"), "python")
    here: dict[str, Any] = {"torch": torch, "weights": torch.ones(1, 12).double()}
    exec(loading, here)
    assert asked == [
        (),
        ("cifar-10-python.tar.gz",),
        ("hub/", ("n_train", 5000), ("n_targets", 16)),
    ]
    here |= {"data": archive(), "seeds": torch.zeros(1, dtype=torch.int64)}
    small = "THROUGHPUT.smaller(width=2, epochs=1, batch_size=6)"
    for written, here_instead in (
        ('"cuda"', '"cpu"'),
        ("bfloat16", "float32"),
        ("recipe=THROUGHPUT", f"recipe={small}"),
    ):
        assert training.count(written) == 1
        training = training.replace(written, here_instead)
    exec(training, here)
    assert here["margins"].shape == (1, 2)
    tiny = SMOOTH.smaller(width=2, epochs=1, batch_size=6)
    here["problem"] = Cifar(data=here["data"], recipe=tiny, mode="weighted")
    here |= {"influence": influence, "EKFAC": EKFAC}
    exec(deriving.replace("influence(", "found = influence("), here)
    assert here["found"].scores.shape == (12, 2)


def test_influence_takes_a_curvature_and_a_solver_as_written(tmp_path: Path) -> None:
    text = text_of("curvature.md")
    here = {"influence": influence, "GaussNewton": GaussNewton, "solvers": solvers}
    here["problem"] = LogisticRegression(
        data=breast_cancer(n_train=60, n_targets=3), ridge=0.02
    )
    exec(blocks(text, "python")[0].replace("influence(", "found = influence(", 1), here)
    assert here["found"].scores.isfinite().all()
    _, *arguments = blocks(text, "sh")[0].split()
    out = tmp_path / "influence.npz"
    done = CliRunner().invoke(cli, [*arguments[:-1], str(out)])
    assert done.exit_code == 0, done.output
    assert out.exists()


def commands_of_reports() -> list[str]:
    rows = text_of("reports.md").splitlines()
    return [
        m[1] for row in rows if (m := re.match(r"\| `python -m reports (.+?)`", row))
    ]


def test_reports_are_built_exported_and_compared_as_written(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    contents = {"results": synthetic_results(), "environment": synthetic_environment()}
    for name, content in contents.items():
        (run / f"{name}.json").write_text(json.dumps(content))
    found = commands_of_reports()
    assert [line.split()[0] for line in found] == [
        "build",
        "export",
        "compare",
        "reference",
    ]
    for line in found:
        written = line.replace("...", "").replace("RUN", str(run))
        arguments = written.replace("paper", str(tmp_path / "paper")).split()
        done = CliRunner().invoke(main, arguments)
        # What may become a reference is a whole thorough run, which this one is not.
        assert (done.exit_code == 0) == (arguments[0] != "reference"), done.output
    assert (run / "report.html").exists()
    assert list((tmp_path / "paper").iterdir())

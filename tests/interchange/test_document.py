"""The document about the release: its code runs as printed and prints what it says."""

import shlex
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from made_up_release import write_release
from test_datamodels_document import same
from test_examples import blocks, commands, run

from dmtheory import collect
from dmtheory.catalogue import ready_problem
from dmtheory.cli import cli
from dmtheory.designs import FixedSize
from dmtheory.files import load_attribution
from dmtheory.interchange.formats import RUNS, SCORES

DOCS = Path(__file__).parents[2] / "docs"


def test_the_small_release_prints_what_the_document_says(tmp_path: Path) -> None:
    text = (DOCS / "released-datamodels.md").read_text(encoding="utf-8")
    script = tmp_path / "study.py"
    script.write_text(blocks(text, "python")[0], encoding="utf-8")
    same(run(tmp_path, "study.py"), blocks(text, "text")[0], 0.01)


def test_every_format_is_in_the_document() -> None:
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    names = (*RUNS, *SCORES, "regression-log")
    assert not [name for name in names if f"`{name}`" not in text]


def invoked(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "dmtheory"
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, (line, result.output, result.exception)


def test_the_commands_of_the_formats_run_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, *others = commands((DOCS / "formats.md").read_text(encoding="utf-8"))
    # The same as the first does, without a process of its own.
    assert first == (
        "dmtheory collect --problem diabetes-ridge --design fixed-size:175 "
        "--models 120 --seed 1 --store run.zarr"
    )
    design = FixedSize(size=175, n_models=120, seed=1)
    collect(ready_problem("diabetes-ridge"), design, store="run.zarr")
    for line in others:
        invoked(line)
    assert "Leakage candidates" in (tmp_path / "report.md").read_text()
    fitted, again = (
        load_attribution(tmp_path / name) for name in ("datamodel.npz", "again.npz")
    )
    assert torch.equal(fitted.scores, again.scores)


def test_the_commands_of_the_release_run_on_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As printed, but for the numbers of its rows and targets."""
    write_release(tmp_path, flat=True)
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "released-datamodels.md").read_text(encoding="utf-8")
    text = text.replace("\\\n", " ").replace("300000:302000", "400:520")
    lines = commands(text.replace("--targets 0:100", "--targets 0:3"))
    assert len(lines) == 2
    for line in lines:
        invoked(line)
    assert "Leakage candidates" in (tmp_path / "report.html").read_text()

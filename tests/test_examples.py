"""The examples and the documents about them: same text, and it runs as printed."""

import ast
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from dmtheory.cli import cli

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "own_model.py"
OWN = (ROOT / "docs" / "your-own-model.md").read_text(encoding="utf-8")
CLUSTER = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
NUMBER = r"[+-]?\d+\.\d+"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def run(folder: Path, *arguments: str) -> str:
    """Run Python on one core; every warning but torch's own is an error."""
    torchs = "ignore:`torch.jit.script`:DeprecationWarning"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", torchs, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def dmtheory(folder: Path, line: str) -> str:
    program, *arguments = shlex.split(line)
    assert program == "dmtheory"
    return run(folder, "-c", "from dmtheory.cli import main; main()", *arguments)


def commands(text: str) -> list[str]:
    return re.findall(r"dmtheory [a-z]+ .*", "\n".join(blocks(text, "sh")))


def own_lines(source: str) -> list[str]:
    """Return the lines of a script but imports, blank lines and its docstring."""
    tree = ast.parse(source)
    left_out = {
        number
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for number in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    left_out |= {1} if ast.get_docstring(tree) else set()
    lines = enumerate(source.splitlines(), start=1)
    return [line for number, line in lines if line.strip() and number not in left_out]


def test_the_document_has_the_script_verbatim() -> None:
    assert blocks(OWN, "python")[0] == SCRIPT.read_text(encoding="utf-8")


def test_the_script_is_at_most_thirty_lines_of_the_users_own() -> None:
    assert len(own_lines(SCRIPT.read_text(encoding="utf-8"))) <= 30


def test_the_script_prints_what_the_document_says_within_20_seconds(
    tmp_path: Path,
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed, stated = run(tmp_path, str(SCRIPT)), blocks(OWN, "text")[0]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 20
    assert re.sub(NUMBER, "#", printed) == re.sub(NUMBER, "#", stated)
    found = [float(number) for number in re.findall(NUMBER, printed)]
    numbers = [float(number) for number in re.findall(NUMBER, stated)]
    assert found == pytest.approx(numbers, abs=0.02)
    prose = " ".join(OWN.split())
    for line in stated.splitlines():
        assert f"**{line}" in prose


def test_what_is_said_of_other_trainings_can_be_said(tmp_path: Path) -> None:
    rows = re.findall(r"^\| `([^`]+=[^`]+)`(?:, `([^`]+)`)? \|", OWN, re.MULTILINE)
    said = [code for row in rows for code in row if "=" in code]
    assert len(said) >= 10
    script = tmp_path / "other.py"
    sources = [blocks(OWN, "python")[1], *(f"dict({code})" for code in said)]
    script.write_text("\n".join(sources), encoding="utf-8")
    assert run(tmp_path, "other.py") == ""


def test_training_code_without_torch_runs_as_printed(tmp_path: Path) -> None:
    script = tmp_path / "forest.py"
    script.write_text(blocks(OWN, "python")[2], encoding="utf-8")
    printed = run(tmp_path, "forest.py")
    assert re.sub(NUMBER, "#", printed).count("wine") == 3
    assert len(re.findall(rf"{NUMBER} ± {NUMBER}\n", printed)) == 3


def test_a_longer_run_goes_on_from_the_command_line(tmp_path: Path) -> None:
    examples = tmp_path / "examples"
    examples.mkdir()
    shutil.copy(SCRIPT, examples)
    (examples / "longer.py").write_text(blocks(OWN, "python")[3], encoding="utf-8")
    assert run(tmp_path, "examples/longer.py") == ""
    collected, verified = (dmtheory(tmp_path, line) for line in commands(OWN))
    assert "missing blocks: 0\n" in collected
    assert "sound: True\n" in verified


@pytest.mark.parametrize("line", commands(OWN) + commands(CLUSTER))
def test_every_command_line_of_the_documents_is_one_that_the_program_takes(
    line: str,
) -> None:
    name, *arguments = shlex.split(line)[1:]
    command = cli.commands[name]
    with command.make_context(name, arguments) as context:
        assert isinstance(context, click.Context)


def test_the_cluster_document_names_commands() -> None:
    names = {shlex.split(line)[1] for line in commands(CLUSTER)}
    assert names == {"collect", "merge", "verify"}

"""What every command owes: an example, JSON, completion, statuses, progress."""

import re
import shlex
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import dmtheory.cli.fit
from dmtheory.cli import cli
from dmtheory.console import progress_bars, run_command

TEXT = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")
COMMANDS = sorted(cli.commands)


def test_the_document_lists_every_command_and_no_other() -> None:
    rows = re.findall(r"^\| `dmtheory (\w+)` \| .+ \|$", TEXT, flags=re.MULTILINE)
    assert sorted(rows) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_that_parses(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(cli, [name, "--help"], terminal_width=400)
    assert shown.exit_code == 0
    (line,) = re.findall(r"Example: (.*)", shown.stdout)
    program, called, *arguments = shlex.split(line)
    assert (program, called) == ("dmtheory", name)
    # Every option is known and every value of its kind; nothing is run.
    made = cli.commands[name].make_context(name, arguments)
    assert not made.args


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_json(name: str) -> None:
    options = {one for p in cli.commands[name].params for one in p.opts}
    assert "--json" in options


def test_json_is_what_is_printed() -> None:
    import json

    shown = CliRunner().invoke(cli, ["problems", "--json"])
    assert "diabetes-ridge" in json.loads(shown.stdout)


def completed(monkeypatch: pytest.MonkeyPatch, words: str) -> list[str]:
    """Ask for completions as bash does, by the environment variable."""
    monkeypatch.setenv("_DMTHEORY_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    monkeypatch.setattr(sys, "argv", ["dmtheory"])
    return said_by(cli)[1].splitlines()


def said_by(command: click.Command) -> tuple[int, str, str]:
    """Return the status, the output and the errors of a whole program."""

    @click.command()
    def program() -> None:
        run_command(command, "dmtheory")

    done = CliRunner().invoke(program, [], prog_name="around")
    return done.exit_code, done.stdout, done.stderr


def test_the_shell_completes_commands_options_and_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert completed(monkeypatch, "dmtheory de") == ["plain,derive"]
    found = completed(monkeypatch, "dmtheory ")
    assert sorted(one.removeprefix("plain,") for one in found) == COMMANDS
    assert "plain,--coordinates" in completed(monkeypatch, "dmtheory derive --co")
    values = completed(monkeypatch, "dmtheory derive --method path")
    assert values == ["plain,pathwise"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"_DMTHEORY_COMPLETE={shell}_source dmtheory >" in TEXT
    monkeypatch.setenv("_DMTHEORY_COMPLETE", f"{shell}_source")
    status, script, _ = said_by(cli)
    assert status == 0
    assert f"_DMTHEORY_COMPLETE={shell}_complete" in script


def called(monkeypatch: pytest.MonkeyPatch, line: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", shlex.split(line))
    return said_by(cli)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "derive --problem sine --coordinates 0 --out a.npz",
            "'--coordinates': must be at least 1, got 0",
        ),
        (
            "derive --problem sine --memory 0 --out a.npz",
            "'--memory': must be at least 1, got 0",
        ),
        (
            "influence --problem sine --memory 0 --out a.npz",
            "'--memory': must be at least 1, got 0",
        ),
        (
            "influence --problem sine --coordinates 0 --out a.npz",
            "'--coordinates': must be at least 1, got 0",
        ),
        (
            "influence --problem sine --seeds 2.5 --out a.npz",
            "'--seeds': must be a whole number, got '2.5'",
        ),
        ("derive --problem sine --seeds 0 --out a.npz", "'--seeds': must be at least"),
        ("verify runs.zarr --rows -1", "'--rows': must be at least 0, got -1"),
        (
            "fit --problem sine --models 0 --out a.npz",
            "'--models': must be at least 1, got 0",
        ),
        ("fit --problem sine --out a/b.npz", "its folder must exist: mkdir -p a"),
        ("derive --problem sine --out 'a b/c.npz'", "mkdir -p 'a b'"),
        ("influence --problem sine --out a/b.npz", "mkdir -p a"),
        ("show a.npz --top 0", "'--top': must be at least 1, got 0"),
        ("show a.npz", "file must exist, got a.npz"),
        ("fitt", "No such command 'fitt'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, output, errors = called(monkeypatch, f"dmtheory {line}")
    assert (status, output) == (2, "")
    assert errors.startswith("error: ") and errors.count("\n") == 1
    assert said in errors
    assert not list(tmp_path.iterdir())


def test_ctrl_c_is_one_line_and_status_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dmtheory.cli.fit, "ready_problem", interrupt)
    status, output, errors = called(
        monkeypatch, "dmtheory fit --problem diabetes-ridge --out a.npz"
    )
    assert (status, output) == (130, "")
    # After the line on which the terminal shows ^C.
    assert errors.startswith("\ninterrupted; ") and errors.count("\n") == 2
    assert not list(tmp_path.iterdir())


def test_the_document_has_every_status() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \|$", TEXT, flags=re.MULTILINE)
    assert rows == ["0", "1", "2", "130"]
    help_text = CliRunner().invoke(cli, ["--help"]).stdout
    assert "Exit status: 0" in help_text and "130" in help_text


def test_bars_show_the_time_left_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        with progress_bars() as report:
            for done in (0, 1, 2):
                report("models", done, 1000)
                time.sleep(0.02)

    work()
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    work()
    shown = capsys.readouterr()
    assert shown.out == ""
    last = re.sub(r"\x1b\[[\d;?]*\w", "", shown.err)
    # 998 models at .02 s each: about 20 s and, on a busy machine, more.
    assert re.search(r"models .*2/1000 0:00:00 0:0\d:[1-5]\d", last), last

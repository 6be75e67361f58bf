"""What a page cannot be made of, and what the command line says about it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from reports import ReportError, build_report
from reports.__main__ import main

Json = dict[str, Any]
Write = Callable[[Json], Path]


def refused(folder: Path) -> str:
    """Run the command, check that it fails as it should, and return its message."""
    outcome = CliRunner().invoke(main, ["build", str(folder)])
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert outcome.stderr.count("\n") == 1
    assert "Traceback" not in outcome.stderr
    assert not list(folder.glob("*report.html*"))
    return outcome.stderr


def test_the_command_writes_the_page_and_says_where(
    write_run: Write, results: Json
) -> None:
    folder = write_run(results)
    outcome = CliRunner().invoke(main, ["build", str(folder)])
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.strip() == str(folder / "report.html")
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_a_second_build_gives_the_same_page(write_run: Write, results: Json) -> None:
    folder = write_run(results)
    first = build_report(folder).read_bytes()
    assert build_report(folder).read_bytes() == first
    assert {path.name for path in folder.iterdir()} == {
        "results.json",
        "environment.json",
        "report.html",
    }


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "no such run folder" in refused(tmp_path / "absent")


@pytest.mark.parametrize("name", ["results.json", "environment.json"])
def test_a_missing_file(write_run: Write, results: Json, name: str) -> None:
    folder = write_run(results)
    (folder / name).unlink()
    assert f"the run has no {name}" in refused(folder)


@pytest.mark.parametrize("text", ["", "{", '{"seed": NaN}', '{"x": 1e999}', "\xff"])
def test_no_json(write_run: Write, results: Json, text: str) -> None:
    folder = write_run(results)
    (folder / "results.json").write_bytes(text.encode("latin-1"))
    assert "is not valid JSON" in refused(folder)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("claims",), None, 'results.json lacks the key "claims"'),
        (("claims", 1, "verdict"), None, 'claims[1] lacks the key "verdict"'),
        (("claims", 1, "verdict"), "maybe", "claims[1].verdict must be one of"),
        (("claims", 0, "scale"), "X", "claims[0].scale must be one of"),
        (("claims", 0, "parts", 2, "low"), "0", "parts[2].low must be a number or"),
        (("claims", 0, "parts", 0, "tolerance"), [1.0], "must hold two ends, got 1"),
        (("claims", 0, "passed"), 1, "must be true or false, got a whole number"),
        (("claims", 0, "models_trained"), True, "must be a whole number, got true"),
        (("claims", 0, "figure", "x"), [1.0], "of one length"),
        (("claims", 0, "figure", "lines"), [{"x": []}], 'lines[0] lacks the key "y"'),
        (("cases", 0, "target", "image"), [[2.0]], "pixels must lie in"),
        (("cases", 0, "target", "image"), [], "pixels must be rows x columns"),
        (("seed",), "zero", "results.json.seed must be a whole number, got a text"),
    ],
)
def test_data_of_another_shape(
    write_run: Write, results: Json, path: tuple, value: Any, message: str
) -> None:
    place = results = copy.deepcopy(results)
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    assert message in refused(write_run(results))


def test_a_list_in_place_of_the_results(write_run: Write, results: Json) -> None:
    folder = write_run(results)
    (folder / "results.json").write_text(json.dumps([results]))
    with pytest.raises(ReportError, match="must be an object, got a list"):
        build_report(folder)


def test_an_old_page_survives_bad_data(write_run: Write, results: Json) -> None:
    folder = write_run(results)
    before = build_report(folder).read_bytes()
    del results["claims"][0]["parts"]
    write_run(results)
    with pytest.raises(ReportError):
        build_report(folder)
    assert (folder / "report.html").read_bytes() == before

"""docs/testing.md: its code runs, its table is what the command prints."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from samples import unchecked
from test_examples import blocks
from zoo.table import ZOO

from dmtheory.cli import cli
from dmtheory.testing import PROPERTIES, strategies

TEXT = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
CODE = blocks(TEXT, "python")


def test_the_command_prints_what_the_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_module.py").write_text(CODE[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    stated = ["check", "my_module:my_fit", "--contract", "datamodel", "--profile", "ci"]
    with unchecked():
        found = CliRunner().invoke(cli, [*stated, "--json"])
    assert found.exit_code == 1, found.output
    said = {}
    for line in blocks(TEXT, "text")[0].splitlines()[1:]:
        name, _, verdict = line.strip().partition("  ")
        said[name] = verdict.strip()
    outcomes = {each["property"]: each for each in json.loads(found.stdout)["outcomes"]}
    assert {name: each["verdict"] for name, each in outcomes.items()} == said
    first = outcomes["population coefficient"]
    assert first["reason"] in TEXT
    assert first["counterexample"] in TEXT


@pytest.mark.parametrize("number", [2, 3])
def test_the_other_blocks_run(number: int) -> None:
    names: dict[str, object] = {}
    exec(compile(CODE[number], f"block {number}", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    with unchecked():
        for test in tests:
            test()  # type: ignore[operator]


def test_every_strategy_is_named() -> None:
    public = [name for name in strategies.__all__ if name[0].islower()]
    unnamed = {name for name in public if f"`{name}`" not in TEXT}
    assert unnamed == {"smooth_responses"}


def test_every_mistake_and_property_is_in_the_tables() -> None:
    for contract, animals in ZOO.items():
        for wrong in animals:
            assert f"| {wrong.mistake} |" in TEXT
        for each in PROPERTIES[contract]:
            assert each.name in TEXT
    assert f"A zoo of {sum(map(len, ZOO.values()))} wrong" in TEXT

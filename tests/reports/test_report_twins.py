"""The report in Markdown and JSON, and its figures and tables as files."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from synthetic_run import a_study

from reports import build_report, export_report
from reports.__main__ import main

Json = dict[str, Any]
Write = Callable[[Json], Path]


@pytest.fixture
def full(results: Json) -> Json:
    """A run small enough to be exported, with a figure of every kind."""
    keep = ("posted-identity", "noise-law", "leakage")
    results["claims"] = [c for c in results["claims"] if c["id"] in keep][1:]
    results["studies"] = [a_study("digits-network-sum")]
    return results


def everything_said(full: Json) -> list[str]:
    """Return texts of the run that no form of its report may lack."""
    said = [full["commit"], full["command"], full["config_digest"]]
    for claim in full["claims"]:
        said += [claim["id"], claim["statement"], claim["problem"], claim["reason"]]
        said += [part["name"] for part in claim["parts"]]
        said += [control["name"] for control in claim["controls"]]
        said += [side["method"] for side in claim["estimands"]]
    for case in full["cases"]:
        said.append(case["target"]["label"])
        for estimate in case["estimates"]:
            said += [estimate["name"], estimate["helpful"][0]["label"]]
    said += [full["studies"][0]["text"], full["problems"][0]["source"]]
    return [text for text in said if text]


@pytest.mark.parametrize("form", ["html", "markdown", "json"])
def test_all_forms_say_the_same(write_run: Write, full: Json, form: str) -> None:
    folder = write_run(full)
    outcome = CliRunner().invoke(main, ["build", str(folder), "--format", form])
    assert outcome.exit_code == 0, outcome.stderr
    path = Path(outcome.stdout.strip())
    assert path.name == {"html": "report.html", "markdown": "report.md"}.get(
        form, "report.json"
    )
    text = path.read_text(encoding="utf-8")
    # Each form's way to write the same sign.
    text = re.sub(r"</?code>|`", "", text.replace("\\", "")).replace("&#39;", "'")
    for said in everything_said(full):
        assert said in text, said
    assert ("2.113" if form == "json" else "2.11 [2.02, 2.21]") in text
    assert "slope was 2.11" in text
    assert "reaches into the tolerance (0.9 to 1.1)" in text
    assert "Linear datamodeling score" in text


def test_the_json_twin_is_plain_and_carries_the_numbers(
    write_run: Write, full: Json
) -> None:
    path = build_report(write_run(full), form="json")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert "<svg" not in path.read_text(encoding="utf-8")
    section = found["sections"][0]
    (entry,) = section["entries"]
    assert entry["data"]["parts"][0]["value"] == pytest.approx(2.113)
    assert len(entry["numbers"][0]["rows"]) == 900
    assert entry["drawing"]["title"].startswith("Datamodel against response")
    assert found["matrix"]["columns"] == ["estimate scaled by 1.25", "sign flipped"]
    assert found["method"][0]["notes"][1]["tex"].startswith("\\beta_i(p)")


def test_no_text_of_a_run_is_markup_in_markdown(write_run: Write, full: Json) -> None:
    attack = "<script>alert(1)</script> [x](javascript:y) | `a` *b* \n# heading"

    def spoil(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: spoil(item) for key, item in value.items()}
        if isinstance(value, list):
            return [spoil(item) for item in value]
        words = ("supported", "refuted", "inconclusive", "skipped", *"CVMG", "sum")
        return attack if isinstance(value, str) and value not in words else value

    full["studies"] = []
    text = build_report(write_run(spoil(full)), form="markdown").read_text()
    # Code is shown as it is, so nothing in it acts.
    outside = re.sub(r"`[^`\n]*`", "", text)
    assert "<script" not in outside and "&lt;script&gt;" in outside
    assert not re.search(r"(?<!\\)\[x", outside)
    headings = re.findall(r"^#+ .*", text, flags=re.MULTILINE)
    assert not any(heading.startswith("# heading") for heading in headings)
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        bars = {len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines()}
        assert len(bars) == 1, block[:300]


def test_an_unknown_form_is_refused(write_run: Write, full: Json) -> None:
    with pytest.raises(ValueError, match="form must be one of"):
        build_report(write_run(full), form="docx")


def test_figures_and_tables_are_written_as_files(
    write_run: Write, full: Json, tmp_path: Path
) -> None:
    full["claims"][0]["figure"]["x"] = full["claims"][0]["figure"]["x"][:50]
    full["claims"][0]["figure"]["y"] = full["claims"][0]["figure"]["y"][:50]
    out = tmp_path / "paper"
    outcome = CliRunner().invoke(
        main, ["export", str(write_run(full)), "--out", str(out)]
    )
    assert outcome.exit_code == 0, outcome.stderr
    figures = {path.name for path in (out / "figures").iterdir()}
    # Two claims have a figure, the study two; each as PNG and PDF.
    assert len(figures) == 8
    assert "study-frontier-digits-network-sum-2.pdf" in figures
    tables = {path.name for path in (out / "tables").iterdir()}
    assert {"verdicts.csv", "verdicts.tex", "wrong-estimates.csv"} <= tables
    assert outcome.stdout.strip() == f"{len(figures) + len(tables)} files in {out}"
    with (out / "tables" / "verdicts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    parts = [part for claim in full["claims"] for part in claim["parts"]]
    # The entry that was skipped has a row without numbers.
    assert len(rows) == len(parts) + 1
    for row, part in zip(rows, parts, strict=False):
        assert row["part"] == part["name"]
        assert float(row["value"]) == pytest.approx(part["value"], rel=1e-5)
        assert row["verdict"] == part["verdict"]
    points = next(name for name in tables if name.startswith("entry-posted"))
    with (out / "tables" / points).with_suffix(".csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 51


def test_a_folder_that_cannot_be_written_is_one_line(
    write_run: Write, full: Json, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    arguments = ["export", str(write_run(full)), "--out", str(tmp_path / "taken")]
    outcome = CliRunner().invoke(main, arguments)
    assert outcome.exit_code == 2 and outcome.stderr.count("\n") == 1
    assert "cannot write the files" in outcome.stderr


def test_names_of_files_are_safe_and_short(write_run: Write, full: Json) -> None:
    for claim in full["claims"]:
        claim["id"] = "../../etc/" + "x" * 400
        claim["figure"] = None
    full["studies"][0]["problem"] = "y" * 400
    full["studies"] = [full["studies"][0]] * 2
    full["cases"] = []
    folder = write_run(full)
    written = export_report(folder, folder / "out")
    assert len({path.name for path in written}) == len(written)
    for path in written:
        assert len(path.name) < 200
        assert path.resolve().is_relative_to((folder / "out").resolve())

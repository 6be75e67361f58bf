"""The document about datamodels: its code runs as printed and prints what it says."""

import json
import re
from pathlib import Path

import pytest
from test_examples import blocks, commands, dmtheory, run

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "datamodels.md").read_text(encoding="utf-8")
NUMBER = r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?"


def same(printed: str, stated: str, tolerance: float) -> None:
    """Compare words exactly and numbers to a tolerance, relative above 1."""
    assert re.sub(NUMBER, "#", printed) == re.sub(NUMBER, "#", stated)
    found, said = (
        [float(number.replace(",", "")) for number in re.findall(NUMBER, text)]
        for text in (printed, stated)
    )
    assert found == pytest.approx(said, abs=tolerance, rel=tolerance)


def test_the_study_prints_what_the_document_says(tmp_path: Path) -> None:
    script = tmp_path / "study.py"
    script.write_text(blocks(TEXT, "python")[0], encoding="utf-8")
    same(run(tmp_path, "study.py"), blocks(TEXT, "text")[0], 0.01)


def test_the_commands_give_the_table_and_the_ceiling(tmp_path: Path) -> None:
    lines = commands(TEXT)
    assert len(lines) == 6
    for line in lines[:-1]:
        dmtheory(tmp_path, line)
    found = json.loads(dmtheory(tmp_path, lines[-1] + " --json"))
    rows = {row["name"]: row for row in found["rows"]}
    said = re.findall(
        rf"^\| (\w+\.npz) \| ({NUMBER}) \| ({NUMBER})", TEXT, re.MULTILINE
    )
    assert [name for name, *_ in said] == list(rows)
    for name, score, difference in said:
        assert rows[name]["lds"]["value"] == pytest.approx(float(score), abs=0.005)
        gap = rows[name]["difference"]["value"]
        assert gap == pytest.approx(float(difference), abs=0.005)
    script = tmp_path / "ceiling.py"
    script.write_text(blocks(TEXT, "python")[1], encoding="utf-8")
    same(run(tmp_path, "ceiling.py"), blocks(TEXT, "text")[1], 0.01)

"""The document about response derivatives: its code prints what it says."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_datamodels_document import NUMBER, same
from test_examples import blocks, commands, run

from dmtheory.cli import cli

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "response-derivatives.md").read_text(encoding="utf-8")
PROSE = " ".join(TEXT.split())


def test_the_study_prints_what_the_document_says(tmp_path: Path) -> None:
    script = tmp_path / "study.py"
    script.write_text(blocks(TEXT, "python")[0], encoding="utf-8")
    printed = run(tmp_path, "study.py")
    same(printed, blocks(TEXT, "text")[0], 0.02)
    # What the text reads from it.
    errors = [float(e) for e in re.findall(rf"error ({NUMBER})", printed)]
    takes = [int(m) for m in re.findall(r"takes (\d+)", printed)]
    assert takes[1] == min(takes)
    assert errors[1] == min(errors)
    (ratio,) = re.findall(rf"variance ({NUMBER})", printed)
    (said,) = re.findall(r"(\d+) times the variance", PROSE)
    assert 1 / float(ratio) == pytest.approx(float(said), rel=0.05)
    secant, tangent, datamodel = (
        [float(n) for n in re.findall(rf"{name} ({NUMBER}) ± ({NUMBER})", printed)[0]]
        for name in ("secant", "tangent", "datamodel")
    )
    assert secant[0] - tangent[0] > 2 * (secant[1] ** 2 + tangent[1] ** 2) ** 0.5
    assert abs(datamodel[0] - secant[0]) < abs(datamodel[0] - tangent[0]) / 3


def test_derivatives_through_training_print_what_the_document_says(
    tmp_path: Path,
) -> None:
    script = tmp_path / "through.py"
    script.write_text(blocks(TEXT, "python")[1], encoding="utf-8")
    printed = run(tmp_path, "through.py")
    same(printed, blocks(TEXT, "text")[1], 0.02)
    # What the text reads from it: the matched point's slope lies above 1 by more than
    # its interval, the averages' contain 1; gaps are the differences' alone.
    slopes = re.findall(rf"on it ({NUMBER}) \(({NUMBER}) to ({NUMBER})\)", printed)
    matched, *averages = [[float(n) for n in slope] for slope in slopes]
    assert matched[1] > 1
    assert len(averages) == 2
    assert all(low < 1 < high for _, low, high in averages)
    gaps = [float(gap) for gap in re.findall(rf"gap ({NUMBER})", printed)]
    assert len(gaps) == 2
    assert all(0 < gap < 1e-4 for gap in gaps)


def test_the_commands_give_what_the_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = []
    for line in commands(TEXT):
        done = CliRunner().invoke(cli, [*shlex.split(line)[1:], "--json"])
        assert done.exit_code == 0, f"{done.output} {done.exception}"
        found.append(json.loads(done.stdout))
    assert len(found) == 7
    assert [result["models"] for result in found[4:6]] == [1, 200]
    rungs = found[0]["ladder"]
    (bias,) = re.findall(r"a bias of (\S+) at its largest step", PROSE)
    assert rungs[0]["bias"] == pytest.approx(float(bias), rel=0.05)
    assert "step 0.1 of 0.4, 0.2, 0.1" in found[0]["method"]
    (said,) = re.findall(rf"slope of ({NUMBER}) \(({NUMBER}) to ({NUMBER})\)", PROSE)
    slope = found[-1]["slope"]
    for name, number in zip(("value", "low", "high"), said, strict=True):
        assert slope[name] == pytest.approx(float(number), abs=1e-4)

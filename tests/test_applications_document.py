"""The document about applications: its code runs as printed and prints what it says."""

from pathlib import Path

import pytest
from test_datamodels_document import same
from test_examples import blocks, run

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "applications.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [0, 1])
def test_the_study_prints_what_the_document_says(tmp_path: Path, number: int) -> None:
    script = tmp_path / "study.py"
    script.write_text(blocks(TEXT, "python")[number], encoding="utf-8")
    same(run(tmp_path, "study.py"), blocks(TEXT, "text")[number], 0.01)

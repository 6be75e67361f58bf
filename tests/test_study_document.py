"""The document about studies: its code runs as printed and prints what it says."""

from pathlib import Path

from test_datamodels_document import same
from test_examples import blocks, run

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")


def test_the_study_prints_what_the_document_says(tmp_path: Path) -> None:
    script = tmp_path / "my_study.py"
    script.write_text(blocks(TEXT, "python")[0], encoding="utf-8")
    same(run(tmp_path, "my_study.py"), blocks(TEXT, "text")[1], 0.01)

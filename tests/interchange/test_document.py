"""The document about the release: its code runs as printed and prints what it says."""

from pathlib import Path

from test_datamodels_document import same
from test_examples import blocks, run

from dmtheory.interchange.formats import RUNS, SCORES

DOCS = Path(__file__).parents[2] / "docs"


def test_the_small_release_prints_what_the_document_says(tmp_path: Path) -> None:
    text = (DOCS / "released-datamodels.md").read_text(encoding="utf-8")
    script = tmp_path / "study.py"
    script.write_text(blocks(text, "python")[0], encoding="utf-8")
    same(run(tmp_path, "study.py"), blocks(text, "text")[0], 0.01)


def test_every_format_is_in_the_document() -> None:
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    assert not [name for name in (*RUNS, *SCORES) if f"`{name}`" not in text]

"""The document about influence: its code runs as printed and prints what it says."""

from pathlib import Path

import pytest
from test_datamodels_document import same
from test_examples import blocks, run

import dmtheory

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "influence.md").read_text(encoding="utf-8")
SCRIPTS = list(zip(blocks(TEXT, "python"), blocks(TEXT, "text"), strict=True))


@pytest.mark.parametrize(("script", "stated"), SCRIPTS, ids=["removals", "network"])
def test_the_scripts_print_what_the_document_says(
    tmp_path: Path, script: str, stated: str
) -> None:
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    same(run(tmp_path, "script.py"), stated, 0.02)


def test_every_function_of_the_table_is_exported() -> None:
    named = {
        "influence",
        "self_influence",
        "leave_out",
        "gradient_product",
        "gradient_cosine",
        "tracin",
        "trak",
        "representer",
        "choose_damping",
        "influence_gap",
        "FirstOrder",
        "SecondOrder",
        "LeverageCorrected",
        "NewtonStep",
        "ProximalBregman",
    }
    assert named <= set(dmtheory.__all__)
    assert {name for name in named if f"`{name}" not in TEXT} == {"ProximalBregman"}
    assert "rule=ProximalBregman()" in TEXT

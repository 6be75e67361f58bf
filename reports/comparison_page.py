"""A comparison of runs as one self-contained page, and as JSON."""

import json
from pathlib import Path

from markupsafe import Markup

from dmtheory.rendering import environment, write_atomically
from dmtheory.rendering.page import mark_code
from dmtheory.rendering.tables import Table
from reports.compare import Comparison
from reports.comparison_lines import sentences, tables
from reports.plain import plain

_TEMPLATES = Path(__file__).parent / "templates"


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write the page of a comparison.

    Args:
        comparison: The comparison.
        path: The file to create or replace.
    """
    template = environment(_TEMPLATES).get_template("comparison.html")
    text = template.render(
        comparison=comparison, sentences=sentences, tables=tables, marked=_marked
    )
    write_atomically(path, text)


def comparison_json(comparison: Comparison) -> str:
    """Return the comparison as the text of a JSON document."""
    told = {"verdict_changed": comparison.verdict_changed, **plain(comparison)}
    return json.dumps(told, indent=1, allow_nan=False, ensure_ascii=False)


def _marked(table: Table) -> list[list[Markup]]:
    """Return a table's cells, what stands between backticks set as code."""
    return [[mark_code(cell) for cell in row] for row in table.rows]

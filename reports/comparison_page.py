"""A comparison of runs as one self-contained page, and as JSON."""

import json
from pathlib import Path

from dmtheory.rendering import environment, write_atomically
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
    text = template.render(comparison=comparison, sentences=sentences, tables=tables)
    write_atomically(path, text)


def comparison_json(comparison: Comparison) -> str:
    """Return the comparison as the text of a JSON document."""
    told = {"verdict_changed": comparison.verdict_changed, **plain(comparison)}
    return json.dumps(told, indent=1, allow_nan=False, ensure_ascii=False)

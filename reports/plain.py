"""The JSON twin of the page: the same object as plain values."""

import json
from dataclasses import fields, is_dataclass
from typing import Any

from markupsafe import Markup

from dmtheory.rendering.canvas import Drawing
from reports.report import Report


def json_report(report: Report) -> str:
    """Write all that the page says as JSON.

    Args:
        report: The report.

    Returns:
        The text of a JSON document; a figure in it is its title, its description and
        its numbers.
    """
    content = plain(report)
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """Return a value made of dictionaries, lists, texts and numbers alone."""
    if isinstance(value, Drawing):
        return {
            "title": value.plate.title,
            "description": value.plate.description,
            "legend": [key.label for key in value.legend],
        }
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Markup) else value

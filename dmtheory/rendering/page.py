"""Turn templates into pages: everything escaped, nothing half-written."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from dmtheory.rendering import text
from dmtheory.rendering.pictures import png_data_uri
from dmtheory.rendering.tables import html_table
from dmtheory.rendering.whiskers import common_domain, whisker
from dmtheory.whole_files import whole_file


def environment(templates: Path) -> Environment:
    """Return a template environment that escapes every value and knows our formats.

    Args:
        templates: Folder of the templates.

    Returns:
        An environment in which an unknown name raises instead of vanishing.
    """
    made = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["code"] = mark_code
    made.filters["number"] = text.format_number
    made.filters["duration"] = text.format_duration
    made.globals.update(
        common_domain=common_domain,
        format_interval=text.format_interval,
        format_range=text.format_range,
        html_table=html_table,
        interval_text=text.interval_text,
        png_data_uri=png_data_uri,
        whisker=whisker,
    )
    return made


def mark_code(prose: str) -> Markup:
    """Escape a text and set what stands between backticks as code.

    Args:
        prose: Plain text.

    Returns:
        Its markup.
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(prose))))


def write_atomically(path: Path, content: str) -> None:
    """Write a text file so that no reader ever sees half of it.

    Args:
        path: The file to create or replace.
        content: Its text, written as UTF-8.
    """
    with whole_file(path) as partial:
        partial.write_text(content, encoding="utf-8")

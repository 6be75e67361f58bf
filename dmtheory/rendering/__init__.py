"""Numbers as text, tables, pictures and figures for pages; knows no claim.

Figures are in `figures` (scatters), `charts` (series) and `dots`; they and what they
share are the only modules that import matplotlib.
"""

from dmtheory.rendering.page import environment, write_atomically
from dmtheory.rendering.pictures import png_data_uri
from dmtheory.rendering.tables import html_table
from dmtheory.rendering.text import (
    NOTHING,
    IntervalText,
    format_duration,
    format_interval,
    format_number,
    format_range,
    interval_text,
)
from dmtheory.rendering.whiskers import common_domain, whisker

__all__ = [
    "NOTHING",
    "IntervalText",
    "common_domain",
    "environment",
    "format_duration",
    "format_interval",
    "format_number",
    "format_range",
    "html_table",
    "interval_text",
    "png_data_uri",
    "whisker",
    "write_atomically",
]

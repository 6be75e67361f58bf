"""An analysis of imported models as one page, in HTML or in Markdown."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup, escape

from dmtheory.interchange.analyses.analysis import Analysis
from dmtheory.interchange.analyses.sections import Part, parts_of
from dmtheory.rendering import html_table, write_atomically

_STYLE = """
:root { --paper: #fdfcf9; --ink: #1b1b1b; --soft: #575550; --rule: #dedad1;
  --figure-ink: #1b1b1b; --figure-rule: #c9c5bc; --figure-points: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171a; --ink: #e9e6df;
  --soft: #aaa69d; --rule: #363a40; --figure-ink: #d9d6cf; --figure-rule: #464b52;
  --figure-points: #56b4e9; } }
body { margin: 0 auto; max-width: 64rem; padding: 2rem 1rem 4rem; line-height: 1.55;
  background: var(--paper); color: var(--ink); font-family: system-ui, sans-serif; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding: .5rem 0; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; vertical-align: top;
  border-bottom: 1px solid var(--rule); }
.scroll { overflow-x: auto; } svg { max-width: 32rem; height: auto; }
"""


def save_page(analysis: Analysis, path: Path) -> None:
    """Write the page; a name that ends in `.md` gets Markdown, any other HTML.

    Args:
        analysis: What is shown.
        path: The file.
    """
    write = as_markdown if path.suffix == ".md" else as_html
    write_atomically(path, write(analysis))


def as_html(analysis: Analysis) -> str:
    """Return the page as one HTML file that refers to nothing outside itself."""
    sections = Markup("").join(_section(part) for part in parts_of(analysis))
    return str(
        Markup(
            '<!doctype html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta http-equiv="Content-Security-Policy" content="default-src '
            "'none'; style-src 'unsafe-inline'\">\n"
            "<title>{0}</title>\n<style>{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n"
            "{2}</body>\n</html>\n"
        ).format(_title(analysis), Markup(_STYLE), sections)
    )


def as_markdown(analysis: Analysis) -> str:
    """Return the page as Markdown, without the figure."""
    lines = [f"# {_title(analysis)}", ""]
    for part in parts_of(analysis):
        lines += [f"## {part.title}", "", part.text, ""]
        if part.columns:
            lines += [_line(part.columns), _line(["---"] * len(part.columns))]
            lines += [_line(row) for row in part.rows] + [""]
    return "\n".join(lines)


def _title(analysis: Analysis) -> str:
    return f"Imported models: {analysis.tags.source}"


def _section(part: Part) -> Markup:
    table = (
        html_table(part.columns, part.rows, caption=part.title, row_headers=True)
        if part.columns
        else Markup("")
    )
    return Markup("<section>\n<h2>{}</h2>\n<p>{}</p>\n{}\n{}\n</section>\n").format(
        part.title, part.text, part.figure, table
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _plain(cell: str) -> str:
    # A bar would end the cell, and markup in a label would be taken for markup.
    return str(escape(" ".join(cell.split()))).replace("|", "\\|")

"""Tables, kept as data: for a page, a text, a spreadsheet or a paper."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from dmtheory.rendering.text import NOTHING

# What TeX would read as a command, and signs that its common fonts lack.
_TEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{EN DASH}": "--",
    "·": r"$\cdot$",
    "²": r"$^2$",
    "β": r"$\beta$",
    "τ": r"$\tau$",
    "σ": r"$\sigma$",
    "λ": r"$\lambda$",
    "∂": r"$\partial$",
    "∫": r"$\int$",
    "✓": r"$\checkmark$",
}
_POWERS = re.compile("10([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)")
_PLAIN = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
# A spreadsheet takes a cell that starts so for a formula, and runs it.
_RUNS = ("=", "+", "@", "\t", "\r", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as data, all cells texts.

    Attributes:
        caption: What it shows.
        columns: Header of each column.
        rows: Cells of each row, one a column.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        _check_rows(self.columns, self.rows)


def html_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    caption: str,
    row_headers: bool = False,
) -> Markup:
    """Write a table that scrolls inside its own box when the page is narrow.

    Args:
        columns: Header of each column.
        rows: Cells of each row, escaped unless they are markup already.
        caption: What the table shows.
        row_headers: Whether a row's first cell is its header.

    Returns:
        The table's markup.

    Raises:
        ValueError: If a row has not one cell a column.
    """
    _check_rows(columns, rows)
    head = Markup("").join(
        Markup('<th scope="col">{}</th>').format(column)
        if column
        else Markup("<td></td>")
        for column in columns
    )
    body = Markup("").join(_row(row, row_headers=row_headers) for row in rows)
    return Markup(
        '<div class="scroll" role="group" tabindex="0" aria-label="{0}">'
        "<table><caption><span>{0}</span></caption><thead><tr>{1}</tr></thead>"
        "<tbody>{2}</tbody></table></div>"
    ).format(caption, head, body)


def markdown_table(table: Table) -> str:
    """Write a table in Markdown's form of pipes, its caption above it."""
    lines = [table.columns, ("---",) * len(table.columns), *table.rows]
    rows = (f"| {' | '.join(_markdown_cells(line))} |" for line in lines)
    return "\n".join([f"{markdown_text(table.caption)}:", "", *rows, ""])


def markdown_text(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line.

    Args:
        text: Plain text; what stands between backticks stays code.

    Returns:
        The text with every sign escaped that Markdown or HTML would act on.
    """
    one_line = " ".join(text.split())
    pieces = re.split(r"(`[^`]+`)", one_line)
    return "".join(
        piece.replace("|", r"\|") if index % 2 else _markdown_escaped(piece)
        for index, piece in enumerate(pieces)
    )


def csv_table(table: Table) -> str:
    """Write a table for spreadsheets; no cell of it runs as a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([
        _spreadsheet_cells(line) for line in (table.columns, *table.rows)
    ])
    return text.getvalue()


def latex_table(table: Table) -> str:
    """Write a table for a paper, in the rules of the package booktabs."""
    lines = [" & ".join(map(_latex_text, row)) + r" \\" for row in table.rows]
    return "\n".join([
        r"\begin{table}",
        rf"\caption{{{_latex_text(table.caption)}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(map(_latex_text, table.columns)) + r" \\",
        r"\midrule",
        *lines,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ])


def _check_rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    for index, row in enumerate(rows):
        if len(row) != len(columns):
            raise ValueError(
                f"row {index} must have {len(columns)} cells, got {len(row)}"
            )


def _row(cells: Sequence[object], *, row_headers: bool) -> Markup:
    written = [Markup("<td>{}</td>").format(escape(cell)) for cell in cells]
    if row_headers:
        written[0] = Markup('<th scope="row">{}</th>').format(escape(cells[0]))
    return Markup("<tr>{}</tr>").format(Markup("").join(written))


def _markdown_cells(cells: Sequence[str]) -> list[str]:
    return [cell if cell == "---" else markdown_text(cell) for cell in cells]


def _markdown_escaped(text: str) -> str:
    # An entity for what HTML acts on, a backslash for what Markdown acts on.
    entities = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#$!])", r"\\\1", entities)


def _spreadsheet_cells(cells: Sequence[str]) -> list[str]:
    known = ["" if cell == NOTHING else cell for cell in cells]
    return [
        f"'{cell}" if cell.startswith(_RUNS) and not _is_number(cell) else cell
        for cell in known
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _latex_text(text: str) -> str:
    raised = _POWERS.split(" ".join(text.replace("`", "").split()))
    pieces = [
        f"$10^{{{piece.translate(_PLAIN)}}}$" if index % 2 else _tex_escaped(piece)
        for index, piece in enumerate(raised)
    ]
    return "".join(pieces)


def _tex_escaped(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in text)

"""Tables in HTML: a caption, header cells with scope, and a box to scroll in."""

from collections.abc import Sequence

from markupsafe import Markup, escape


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
    for index, row in enumerate(rows):
        if len(row) != len(columns):
            raise ValueError(
                f"row {index} must have {len(columns)} cells, got {len(row)}"
            )
    head = Markup("").join(
        Markup('<th scope="col">{}</th>').format(column) for column in columns
    )
    body = Markup("").join(_row(row, row_headers=row_headers) for row in rows)
    return Markup(
        '<div class="scroll" role="region" tabindex="0" aria-label="{0}">'
        "<table><caption><span>{0}</span></caption><thead><tr>{1}</tr></thead>"
        "<tbody>{2}</tbody></table></div>"
    ).format(caption, head, body)


def _row(cells: Sequence[object], *, row_headers: bool) -> Markup:
    written = [Markup("<td>{}</td>").format(escape(cell)) for cell in cells]
    if row_headers:
        written[0] = Markup('<th scope="row">{}</th>').format(escape(cells[0]))
    return Markup("<tr>{}</tr>").format(Markup("").join(written))

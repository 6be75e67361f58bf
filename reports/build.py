"""Write a run's report: one self-contained page, or its twin in Markdown or JSON."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dmtheory.checks import check_choice
from dmtheory.rendering import environment, png_data_uri, write_atomically
from dmtheory.rendering.formulas import mathml
from dmtheory.rendering.tables import Table, html_table
from reports.cases import score_text
from reports.load import ReportError, load_run
from reports.markdown import markdown_report
from reports.plain import json_report
from reports.report import Report, interval_over, report_of

_TEMPLATES = Path(__file__).parent / "templates"


def build_report(run_folder: Path, *, form: str = "html") -> Path:
    """Write a run's report into its folder.

    Args:
        run_folder: Folder with the run's `results.json` and `environment.json`.
        form: "html" for the page `report.html`, "markdown" for `report.md` or "json"
            for `report.json`: the same content.

    Returns:
        The path of what was written.

    Raises:
        ReportError: If the data is missing or is not what a report needs.
        ValueError: If `form` is none of the three.
    """
    check_choice(form, tuple(FORMS), "form")
    ending, render = FORMS[form]
    report = report_of(load_run(run_folder))
    path = run_folder / f"report.{ending}"
    write_atomically(path, render(report))
    return path


def _page(report: Report) -> str:
    script = (_TEMPLATES / "verdicts.js").read_text(encoding="utf-8")
    templates = environment(_TEMPLATES)
    templates.globals.update(
        interval_over=interval_over,
        mathml=mathml,
        numbers_table=_numbers_table,
        picture_address=_picture_address,
        score_text=score_text,
    )
    try:
        return templates.get_template("report.html").render(
            report=report,
            run=report.run,
            section_of=lambda ids: [s for s in report.sections if s.name in ids],
            # The page's policy runs this script and no other.
            script=Markup(script),
            script_digest=_digest(script),
        )
    except ValueError as error:
        raise ReportError(f"the run's data cannot be drawn: {error}") from error


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _numbers_table(table: Table, *, most: int | None = None) -> Markup:
    """Write a figure's numbers, or the first of them."""
    total = len(table.rows)
    shown = total if most is None else min(total, most)
    count = f"all {shown}" if shown == total else f"the first {shown} of {total:,}"
    return html_table(
        table.columns,
        table.rows[:shown],
        caption=f"{table.caption}, {count}",
        row_headers=True,
    )


def _picture_address(image: list[Any]) -> str:
    # Grey pictures here are ink on paper, such as digits; colour is light.
    colour = bool(image and image[0] and isinstance(image[0][0], list))
    return png_data_uri(image, ink=not colour)


FORMS: dict[str, tuple[str, Callable[[Report], str]]] = {
    "html": ("html", _page),
    "markdown": ("md", markdown_report),
    "json": ("json", json_report),
}

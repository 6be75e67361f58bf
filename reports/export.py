"""Figures and tables of a run as files: for papers, slides and spreadsheets."""

from pathlib import Path

from dmtheory.rendering import write_atomically
from dmtheory.rendering.prints import FORMATS, save_figure
from dmtheory.rendering.tables import csv_table, latex_table
from reports.load import load_run
from reports.report import report_of

_TABLES = {"csv": csv_table, "tex": latex_table}


def export_report(run_folder: Path, out: Path) -> tuple[Path, ...]:
    """Write every figure as PNG and PDF and every table as CSV and LaTeX.

    Args:
        run_folder: Folder with the run's `results.json` and `environment.json`.
        out: Where to; `figures` and `tables` are made in it.

    Returns:
        The paths of all files, figures first.

    Raises:
        ReportError: If the data is missing or is not what a report needs.
    """
    report = report_of(load_run(run_folder))
    figures, tables = out / "figures", out / "tables"
    for folder in (figures, tables):
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, drawing in report.drawings:
        for form in FORMATS:
            written.append(figures / f"{name}.{form}")
            save_figure(drawing, written[-1])
    for name, table in report.tables:
        for form, write in _TABLES.items():
            written.append(tables / f"{name}.{form}")
            write_atomically(written[-1], write(table))
    return tuple(written)

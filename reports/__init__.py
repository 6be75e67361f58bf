"""Report on a validation run from the run's data."""

from reports.build import build_report
from reports.export import export_report
from reports.load import ReportError, Run, load_run

__all__ = ["ReportError", "Run", "build_report", "export_report", "load_run"]

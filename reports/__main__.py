"""The command line: `python -m reports build RUN`, `export RUN`, `reference RUN`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from reports.build import FORMS, build_report
from reports.compare import compare_runs
from reports.comparison_lines import comparison_text
from reports.comparison_page import comparison_json, write_comparison
from reports.export import export_report
from reports.load import ReportError
from reports.reference_run import PLACE, make_reference


class _BadInput(click.ClickException):
    exit_code = 2


@contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Turn what is wrong with the data or the disk into one line and status 2."""
    try:
        yield
    except ReportError as error:
        raise _BadInput(" ".join(str(error).split())) from None
    except OSError as error:
        raise _BadInput(f"cannot write {what}: {error}") from None


@click.group()
def main() -> None:
    """Build the reports of validation runs."""


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMS)),
    default="html",
    show_default=True,
    help="What to write.",
)
def build(run: Path, form: str) -> None:
    """Write the report of the folder RUN into it.

    The page, report.html, and its twins report.md and report.json say the same.

    Example: python -m reports build runs/small/latest --format markdown
    """
    with _one_line("the report"):
        path = build_report(run, form=form)
    click.echo(path)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the files; made if it is not there.",
)
def export(run: Path, out: Path) -> None:
    """Write the figures of RUN as PNG and PDF, its tables as CSV and LaTeX.

    Example: python -m reports export runs/small/latest --out paper
    """
    with _one_line("the files"):
        written = export_report(run, out)
    click.echo(f"{len(written)} files in {out}")


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=PLACE,
    help="Folder of the reference; by default the one that is committed.",
)
def reference(run: Path, out: Path) -> None:
    """Make the committed reference of the folder RUN: a finished thorough run.

    Example: python -m reports reference runs/thorough/latest
    """
    with _one_line("the reference"):
        path = make_reference(run, out)
    click.echo(path)


@main.command()
@click.argument(
    "runs", nargs=-1, metavar="RUN RUN ...", type=click.Path(path_type=Path)
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write a page.",
)
@click.pass_context
def compare(
    context: click.Context, runs: tuple[Path, ...], as_json: bool, page: Path | None
) -> None:
    """Say what differs between the first RUN and each of the others.

    Verdicts that changed, numbers that moved beyond noise (or at all, where seeds and
    settings are the same), settings and surroundings, models and seconds.

    Exit status: 0 if no verdict changed, 1 if one did or is absent from a later run,
    2 if a run cannot be read.

    Example: python -m reports compare runs/small/first runs/small/second
    """
    with _one_line(f"the page {page}"):
        comparison = compare_runs(runs)
        if page is not None:
            write_comparison(comparison, page)
    click.echo(comparison_json(comparison) if as_json else comparison_text(comparison))
    context.exit(int(comparison.verdict_changed))


if __name__ == "__main__":
    main(prog_name="python -m reports")

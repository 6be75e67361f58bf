"""The command line: `python -m reports build RUN`."""

from pathlib import Path

import click

from reports.build import build_report
from reports.load import ReportError
from reports.reference_run import PLACE, make_reference


class _BadInput(click.ClickException):
    exit_code = 2


@click.group()
def main() -> None:
    """Build the pages of validation runs."""


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
def build(run: Path) -> None:
    """Write RUN/report.html from the data in the folder RUN."""
    try:
        path = build_report(run)
    except ReportError as error:
        raise _BadInput(" ".join(str(error).split())) from None
    except OSError as error:
        raise _BadInput(f"cannot write the report: {error}") from None
    click.echo(path)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=PLACE,
    help="Folder of the reference; by default the one that is committed.",
)
def reference(run: Path, out: Path) -> None:
    """Make the committed reference of the folder RUN: a finished thorough run."""
    try:
        path = make_reference(run, out)
    except ReportError as error:
        raise _BadInput(" ".join(str(error).split())) from None
    except OSError as error:
        raise _BadInput(f"cannot write the reference: {error}") from None
    click.echo(path)


if __name__ == "__main__":
    main(prog_name="python -m reports")

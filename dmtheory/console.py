"""What every command of the project shares: one-line errors and progress bars."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

BAD_INPUT = 2
INTERRUPTED = 130

Report = Callable[[str, int, int], None]


def run_command(command: click.Command, name: str) -> NoReturn:
    """Run a command line; every user error is one line on stderr and status 2.

    Args:
        command: The click command or group.
        name: The program's name in help texts.
    """
    try:
        status = command.main(prog_name=name, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        sys.exit(BAD_INPUT)
    except click.ClickException as error:
        _fail(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        click.echo(
            "interrupted; what was finished is kept, nothing is half-written", err=True
        )
        sys.exit(INTERRUPTED)
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        _fail(str(error))
    sys.exit(status if isinstance(status, int) else 0)


def seconds_of(text: str) -> float:
    """Return the seconds of a length of time such as 90s, 25m or 1h.

    Raises:
        click.UsageError: If the text is no such length.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if found is None:
        raise click.UsageError(f"budget must look like 90s, 25m or 1h, got {text!r}")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def _fail(message: str) -> NoReturn:
    click.echo("error: " + " ".join(message.split()), err=True)
    sys.exit(BAD_INPUT)


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Show a bar for each named piece of work; quiet when stderr is no terminal."""
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description:<44}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    tasks: dict[str, TaskID] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done)

    with bars:
        yield report

"""The command line `dmtheory`: runs, estimates, comparisons."""

from typing import NoReturn

import click
import torch

from dmtheory.cli import check, derive, evaluation, fit, influence, reading, runs
from dmtheory.cli.interchange import export_command, import_command
from dmtheory.cli.study import study_command
from dmtheory.console import run_command

_STATUSES = (
    "Exit status: 0 done; 1 done, and a store is unsound, a property does not hold or "
    "a file is bad; 2 wrong input, in one line; 130 interrupted, nothing half-written."
)


@click.group(no_args_is_help=True, epilog=_STATUSES)
@click.version_option(package_name="dmtheory")
def cli() -> None:
    """Datamodels, response derivatives and influence for one training procedure."""


for command in (
    reading.problems,
    runs.collect_command,
    runs.merge_command,
    runs.verify_command,
    fit.fit,
    derive.derive,
    influence.influence_command,
    reading.agree,
    evaluation.lds_command,
    reading.show,
    check.check,
    study_command,
    import_command,
    export_command,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line."""
    torch.set_num_threads(1)
    run_command(cli, "dmtheory")

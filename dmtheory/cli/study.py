"""The command that says whether influence is good enough for one's own model."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dmtheory.catalogue import ready_problem
from dmtheory.cli import options
from dmtheory.console import progress_bars, seconds_of

if TYPE_CHECKING:
    from dmtheory.study.plan import StudyPlan


@click.command("study")
@click.argument("problem")
@click.option("--budget", default="10m", show_default=True, help="90s, 10m or 2h.")
@click.option(
    "--plan",
    "planned",
    type=options.FILE,
    help="A study.json whose plan is trained again, instead of a budget.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("study"),
    show_default=True,
    help="Folder of the page, its numbers and the estimates.",
)
@options.normalisation
@options.seed(0)
@options.as_json
def study_command(
    problem: str,
    budget: str,
    planned: Path | None,
    out: Path,
    normalisation: str,
    seed: int,
    as_json: bool,
) -> None:
    """Estimate, compare and judge within a budget, and say what follows.

    PROBLEM is FILE.py:NAME, MODULE:NAME or a ready problem.

    Example: dmtheory study my_problem.py:problem --budget 10m --out study
    """
    # They load what draws figures, which other commands need not wait for.
    from dmtheory.study import advice, plan_study, study, write_study
    from dmtheory.study.page import to_json

    chosen = ready_problem(problem, normalisation)  # type: ignore[arg-type]
    seconds = seconds_of(budget)
    if seconds == 0:
        raise click.UsageError(f"budget must look like 90s, 10m or 2h, got {budget!r}")
    with progress_bars() as report:
        plan = (
            plan_study(chosen, seconds=seconds, seed=seed)
            if planned is None
            else _plan(planned)
        )
        found = study(chosen, plan, seed=seed, progress=report)
    page = write_study(found, out)
    if as_json:
        click.echo(json.dumps(to_json(found), indent=1))
        return
    click.echo("\n\n".join(advice(found)))
    click.echo(f"\n{page}")


def _plan(path: Path) -> "StudyPlan":
    from dmtheory.study.plan import StudyPlan

    try:
        return StudyPlan(**json.loads(path.read_text(encoding="utf-8"))["plan"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"plan must be a study.json, got {path} ({error})") from None

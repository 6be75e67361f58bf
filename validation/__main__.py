"""`python -m validation`: list the claims, run a suite."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table

from dmtheory.console import progress_bars, run_command, seconds_of
from dmtheory.engines.local import process_pool
from reports.build import build_report
from validation.cifar10.command import run_cifar10
from validation.claims import CLAIMS
from validation.laboratory import Laboratory
from validation.problems import SMALL, THOROUGH
from validation.runner import (
    included,
    point_latest,
    run_suite,
    write_attributions,
    write_run,
)
from validation.verdicts.multiplicity import LEVEL

SUITES = {"small": SMALL, "thorough": THOROUGH}
CIFAR10 = "cifar10"
SCALES = ("C", "V", "M")
PROCESSES = 2
_NUMBER = ("value", "low", "high")


@click.group(no_args_is_help=True)
def cli() -> None:
    """Decide by experiment how datamodels, derivatives and influence relate."""


@cli.command("list")
def list_claims() -> None:
    """List the claims with their expected verdicts."""
    for claim in CLAIMS.values():
        scales = "".join(dict.fromkeys(entry.scale for entry in claim.entries))
        click.echo(f"{claim.id:22} {claim.expected:10} {scales:4} {claim.title}")


@cli.command()
@click.argument("suite")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--claims", help="Claim ids, separated by commas; all by default.")
@click.option("--scale", help="Scales among C, V, M, separated by commas.")
@click.option("--seed", default=0, show_default=True, help="Seed of the run.")
@click.option("--budget", help="Begin no entry after this long, such as 25m or 90s.")
@click.option("--plan", is_flag=True, help="cifar10: print how the budget is split.")
@click.option("--rehearse", is_flag=True, help="cifar10: few images, on the CPU.")
@click.option("--data", type=click.Path(path_type=Path), help="CIFAR-10's files.")
@click.option("--device", help="cifar10: the GPU, `cuda` by default.")
def run(
    suite: str,
    out: Path | None,
    claims: str | None,
    scale: str | None,
    seed: int,
    budget: str | None,
    **of_cifar10: Any,
) -> int:
    """Run SUITE and write results.json, environment.json and report.html.

    `small` takes two minutes, `thorough` has all claims and may take an hour,
    `cifar10` takes its budget (25m) on a GPU and goes on when called again with more.

    The exit status is 1 when a verdict differs from the expected one.

    Example: python -m validation run small --claims bridge,sample-mean
    """
    if suite not in {*SUITES, CIFAR10}:
        raise click.UsageError(
            f"suite must be one of {', '.join(SUITES)}, {CIFAR10}; got {suite!r}"
        )
    if seed < 0:
        raise click.UsageError(f"seed must be >= 0, got {seed}")
    _check_belongs(suite, of_cifar10, {"claims": claims, "scale": scale})
    if suite == CIFAR10:
        return _run_cifar10(out, seed, budget, **of_cifar10)
    chosen = _choose(claims, tuple(CLAIMS), "claims")
    scales = _choose(scale, SCALES, "scale")
    folder = out or Path("runs") / suite / f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise click.UsageError(f"out must be a new or empty folder, got {folder}")
    decided = [
        e
        for c in chosen
        for e in CLAIMS[c].entries
        if e.scale in scales and e.suite in included(suite)
    ]
    if not decided:
        raise click.UsageError(
            f"claims and scale must meet in an entry, but none of "
            f"{', '.join(chosen)} is decided at {', '.join(scales)}"
        )
    seconds = None if budget is None else seconds_of(budget)
    torch.set_num_threads(1)
    command = f"python -m validation run {suite} --seed {seed}"
    command += f" --claims {claims}" if claims else ""
    command += f" --scale {scale}" if scale else ""
    command += f" --budget {budget}" if budget else ""
    with progress_bars() as progress, process_pool(PROCESSES) as engine:
        laboratory = Laboratory(
            SUITES[suite], seed=seed, engine=engine, progress=progress
        )
        result = run_suite(
            laboratory,
            suite=suite,
            claims=chosen,
            scales=scales,
            engine=engine,
            command=command,
            progress=progress,
            budget=seconds,
        )
    write_run(result, folder)
    write_attributions(laboratory, folder / "attributions")
    page = build_report(folder)
    if out is None:
        point_latest(folder)
    return _print_verdicts(result, page)


def _check_belongs(
    suite: str, of_cifar10: dict[str, Any], of_others: dict[str, Any]
) -> None:
    foreign = of_others if suite == CIFAR10 else of_cifar10
    given = [f"--{name}" for name, value in foreign.items() if value]
    if given:
        raise click.UsageError(f"{given[0]} is no option of the suite {suite}")


def _run_cifar10(
    out: Path | None,
    seed: int,
    budget: str | None,
    *,
    plan: bool,
    rehearse: bool,
    data: Path | None,
    device: str | None,
) -> int:
    seconds = seconds_of(budget or ("60s" if rehearse else "25m"))
    torch.set_num_threads(1)
    with progress_bars() as progress:
        return run_cifar10(
            budget=seconds,
            out=out,
            seed=seed,
            rehearse=rehearse,
            plan_only=plan,
            data=data,
            device=device or "cuda",
            report=progress,
            console=Console(width=None if sys.stdout.isatty() else 120),
        )


def _choose(text: str | None, known: tuple[str, ...], name: str) -> list[str]:
    if text is None:
        return list(known)
    wanted = [item.strip() for item in text.split(",") if item.strip()]
    unknown = [item for item in wanted if item not in known]
    if unknown or not wanted:
        got = repr(unknown[0]) if unknown else "none"
        raise click.UsageError(f"{name} must be among {', '.join(known)}; got {got}")
    return list(dict.fromkeys(wanted))


def _print_verdicts(result: dict[str, Any], page: Path) -> int:
    table = Table("claim", "at", "problem", "verdict", "expected", "headline number")
    for claim in result["claims"]:
        number = "none" if not claim["parts"] else "not finite"
        part = claim["parts"][0] if claim["parts"] else dict.fromkeys(_NUMBER)
        if None not in (part["value"], part["low"], part["high"]):
            number = f"{part['value']:.4g}"
            if part["low"] != part["high"]:
                number += f" [{part['low']:.4g}, {part['high']:.4g}]"
        style = None if claim["passed"] else "bold red"
        table.add_row(
            claim["id"],
            claim["scale"],
            claim["problem"],
            claim["verdict"] + ("" if claim["passed"] else " (!)"),
            claim["expected"],
            number,
            style=style,
        )
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    failed = [claim for claim in result["claims"] if not claim["passed"]]
    for claim in failed:
        console.print(
            f"{claim['id']} ({claim['scale']}, {claim['problem']}): {claim['reason']}"
        )
    broken = [study for study in result["studies"] if study["failed"]]
    for study in broken:
        console.print(f"{study['id']} ({study['problem']}): {study['note']}")
    total = len(result["claims"])
    standing = sum(claim["family_wise"]["stands"] for claim in result["claims"])
    console.print(
        f"{total - len(failed)} of {total} as expected; {standing} stand at a "
        f"family-wise level of {LEVEL:.0%}; "
        f"{result['models_trained']} models in {result['seconds']:.0f} s",
        highlight=False,
    )
    click.echo(f"report: {page}")
    return 1 if failed or broken else 0


if __name__ == "__main__":
    run_command(cli, "python -m validation")

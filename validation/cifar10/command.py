"""What the command does: checks, plan, run, report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from dmtheory.engines.devices import parse_devices
from reports.build import build_report
from validation.cifar10.ledger import Clock
from validation.cifar10.plan import Stage, Task, promise
from validation.cifar10.results import results_of
from validation.cifar10.sizes import FULL, Sizes, rehearsal_sizes
from validation.cifar10.subjects import Subjects, in_full, rehearsal
from validation.cifar10.suite import Suite
from validation.cifar10.tasks import FAILED
from validation.cifar10.works import Work
from validation.runner import write_run

DEFAULT_FOLDERS = {True: Path("runs/cifar10-rehearsal"), False: Path("runs/cifar10")}


def run_cifar10(
    *,
    budget: float,
    out: Path | None,
    seed: int,
    rehearse: bool,
    plan_only: bool,
    data: Path | None,
    device: str,
    report: Callable[[str, int, int], None],
    console: Console,
) -> int:
    """Run the suite within its budget, or print what it would do.

    Args:
        budget: Seconds over all calls with this folder.
        out: The run's folder; one folder for the suite by default, so that a second
            call goes on.
        seed: The suite's seed.
        rehearse: Whether few images and narrow networks stand in, on the CPU.
        plan_only: Whether to measure the speed and print the plan alone.
        data: CIFAR-10's files.
        device: Where models train.
        report: Called with (what, done, in all).
        console: Where tables go.

    Returns:
        1 where a verdict is not the expected one; of a rehearsal 1 where something
        failed, and 0 if it ran through.

    Raises:
        ValueError: If there is no such device or data, or the folder holds another run.
    """
    if budget <= 0:
        raise ValueError(f"budget must be above 0 s, got {budget:g} s")
    if data is not None and not data.exists():
        raise ValueError(f"data must exist, got {data}")
    sizes = rehearsal_sizes(budget) if rehearse else FULL
    folder = out or DEFAULT_FOLDERS[rehearse]
    subjects = _subjects(sizes, data, device, rehearse=rehearse)
    suite = Suite(
        subjects=subjects, sizes=sizes, folder=folder, seed=seed, report=report
    )
    if plan_only:
        suite.measure_speed(Clock(suite.ledger, folder))
        _print_plan(suite, budget, console)
        return 0
    suite.run(budget)
    clock = Clock(suite.ledger, folder)
    command = f"python -m validation run cifar10 --budget {budget:g}s --seed {seed}"
    command += " --rehearse" if rehearse else ""
    command += f" --data {data}" if data is not None else ""
    results = results_of(suite, budget=budget, command=command)
    clock.tick()
    write_run(results, folder)
    page = build_report(folder)
    _print_verdicts(results, console)
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    if rehearse:
        return 1 if _failures(results) else 0
    return 0 if all(claim["passed"] for claim in results["claims"]) else 1


def _failures(results: dict[str, Any]) -> list[str]:
    """Return what did not run through, which a rehearsal is there to find."""
    said = [*results["notes"].values(), *(c["reason"] for c in results["claims"])]
    return [one for one in said if FAILED in one]


def _subjects(
    sizes: Sizes, data: Path | None, device: str, *, rehearse: bool
) -> Subjects:
    if rehearse:
        return rehearsal(sizes, data)
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device must be a GPU of this machine, got {device!r} and none is seen: "
            "--rehearse runs the same path on a CPU"
        )
    return in_full(sizes, data, parse_devices(device)[0])


def _print_plan(suite: Suite, budget: float, console: Console) -> None:
    """Print the stages left, how long they take, and what they are for."""
    planned, items = suite.plan(budget), {item.name: item for item in suite.items()}
    table = Table("stage", "models", "minutes", "memory", "serves", "precision then")
    for place, stage in enumerate(planned, 1):
        item = items[stage.name]
        table.add_row(
            f"{place} {stage.name}",
            str(stage.models or "–"),
            f"{stage.seconds / 60:.2f}",
            _gigabytes(item),
            item.serves,
            _promised(suite, stage) if isinstance(item, Work) else "–",
        )
    if suite.sizes.narrow is not None:
        console.print("Rehearsal: the plan of a rehearsal, which decides nothing.")
    console.print(table)
    spent = suite.ledger.spent
    total = sum(stage.seconds for stage in planned)
    console.print(
        f"{total / 60:.1f} min planned, {spent / 60:.1f} min spent, "
        f"{suite.sizes.reserve_seconds / 60:.1f} min kept for the report, of "
        f"{budget / 60:.1f} min",
        highlight=False,
    )
    planned_names = {stage.name for stage in planned}
    left_out = [
        name
        for name in items
        if name not in planned_names and name not in suite.there()
    ]
    if left_out:
        console.print(f"no time for: {', '.join(left_out)}", highlight=False)
    for key, seconds in suite.ledger.speeds.items():
        console.print(
            f"{suite.subjects.titles()[key]}: {3600 / seconds:,.0f} models an hour",
            highlight=False,
        )


def _gigabytes(item: Work | Task) -> str:
    """Return the memory that a task takes at most, where it was counted."""
    counted = item.bytes if isinstance(item, Task) else None
    return "–" if counted is None else f"{counted / 1e9:.1f} GB"


def _promised(suite: Suite, stage: Stage) -> str:
    items = {item.name: item for item in suite.items()}
    work = items[stage.name]
    assert isinstance(work, Work)
    n_players = suite.subjects.problem(work.problem).description.n_train
    return promise(work, stage.models, n_players, suite.noise_ratio(work.problem))


def _print_verdicts(results: dict[str, Any], console: Console) -> None:
    table = Table("claim", "problem", "verdict", "expected")
    for claim in results["claims"]:
        verdict = claim["verdict"] + ("" if claim["passed"] else " (!)")
        table.add_row(claim["id"], claim["problem"], verdict, claim["expected"])
    console.print(table)
    if results["rehearsal"]:
        console.print("Rehearsal: these verdicts decide nothing.")
    for name, why in results["notes"].items():
        console.print(f"{name} {why}", highlight=False, soft_wrap=True)
    console.print(
        f"{results['models_trained']} models in {results['seconds']:.0f} s",
        highlight=False,
    )

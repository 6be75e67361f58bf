"""Run a suite: measure, judge, write the run."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dmtheory.engines.base import Engine, run_all
from dmtheory.files import save_attribution
from dmtheory.identity import digest
from dmtheory.whole_files import write_whole
from validation.cases import CASES, case
from validation.claim import Claim, Entry
from validation.claims import CLAIMS
from validation.environment import commit, environment
from validation.laboratory import Laboratory, Setting
from validation.studies import findings_of, run_studies
from validation.studies.scale_freeness import scale_freeness
from validation.verdicts.judging import Measured, failed, judged_or_failed, not_begun
from validation.verdicts.multiplicity import family_wise
from validation.verdicts.remade import remade


def included(suite: str) -> tuple[str, ...]:
    """Return the suites whose entries a suite decides: its own and smaller ones."""
    return ("small",) if suite == "small" else ("small", suite)


def run_suite(
    laboratory: Laboratory,
    *,
    suite: str,
    claims: list[str],
    scales: list[str],
    engine: Engine,
    command: str,
    progress: Callable[[str, int, int], None],
    budget: float | None = None,
) -> dict[str, Any]:
    """Decide the claims and return the run as plain values.

    Args:
        laboratory: Makes and keeps the estimates.
        suite: The suite's name.
        claims: Ids to decide.
        scales: Scales to decide them at.
        engine: Where judgements run.
        command: The command that reproduces the run.
        progress: Called with (what, done, in all).
        budget: Seconds after which no further entry is begun; those left out are
            inconclusive and say so.

    Returns:
        The content of results.json.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    chosen = [
        (CLAIMS[claim_id], entry)
        for claim_id in claims
        for entry in CLAIMS[claim_id].entries
        if entry.scale in scales and entry.suite in included(suite)
    ]
    matrix = suite != "small"
    measured, undecided = [], []
    for claim, entry in chosen:
        spent = time.perf_counter() - clock
        if budget is not None and spent > budget:
            undecided.append(not_begun(claim, entry, budget))
            continue
        try:
            measured.append(_measure(laboratory, claim, entry, matrix=matrix))
        except Exception as error:
            undecided.append(failed(claim, entry, error))
    judged = run_all(
        engine,
        judged_or_failed,
        measured,
        lambda n: progress("judging", n, len(measured)),
    )
    studies = run_studies(
        laboratory,
        thorough=suite != "small",
        scales=scales,
        findings=findings_of(measured, judged),
        over=budget is not None and time.perf_counter() - clock > budget,
        progress=progress,
    )
    entries = judged + undecided
    together = family_wise(entries)
    names = list(dict.fromkeys(entry.problem for _, entry in chosen))
    begun = {entry.entry.problem for entry in measured}
    return {
        "suite": suite,
        "commit": commit(),
        "config_digest": config_digest(laboratory.settings, laboratory.seed),
        "started": started.isoformat(timespec="seconds"),
        "seed": laboratory.seed,
        "command": command,
        "environment": environment(),
        "problems": [_problem(laboratory, name) for name in names],
        "claims": [
            {**claim, "family_wise": found}
            for claim, found in zip(entries, together, strict=True)
        ],
        "cases": [case(laboratory, name) for name in CASES if name in begun],
        "studies": studies,
        "models_trained": laboratory.models_trained,
        "seconds": time.perf_counter() - clock,
    }


def config_digest(settings: dict[str, Setting], seed: int) -> str:
    """Return the digest of what decides a run's numbers: problems, sizes, seed."""
    parts: list[object] = [seed]
    for name, setting in sorted(settings.items()):
        plain = {f.name: getattr(setting, f.name) for f in fields(setting)}
        plain["make"] = setting.make().description.digest
        parts += [name, sorted(plain.items())]
    return digest(*parts)


def write_run(run: dict[str, Any], folder: Path) -> None:
    """Write results.json and environment.json; each appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        name: json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
        for name, content in (("results", run), ("environment", run["environment"]))
    }
    for name, text in texts.items():
        write_whole(folder / f"{name}.json", f"{text}\n".encode())


def write_attributions(laboratory: Laboratory, folder: Path) -> None:
    """Write every estimate that was kept, without its units, one file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, attribution in laboratory.kept().items():
        plain = replace(attribution, units=None)
        save_attribution(plain, folder / f"{name}.npz")


def point_latest(folder: Path) -> None:
    """Make the `latest` link beside a run folder point at it."""
    link = folder.parent / "latest"
    fresh = folder.parent / f".latest-{os.getpid()}"
    fresh.symlink_to(folder.name, target_is_directory=True)
    fresh.replace(link)


def _measure(
    laboratory: Laboratory, claim: Claim, entry: Entry, *, matrix: bool
) -> Measured:
    clock = time.perf_counter()
    evidence = claim.measure(laboratory, entry)
    seconds = time.perf_counter() - clock
    wrong = remade(laboratory, claim.id, entry, evidence) if matrix else ()
    return Measured(
        claim_id=claim.id,
        entry=entry,
        evidence=evidence,
        seconds=seconds,
        matrix=matrix,
        remade=wrong,
    )


def _problem(laboratory: Laboratory, name: str) -> dict[str, Any]:
    problem = laboratory.problem(name)
    description = problem.description
    data = getattr(problem, "data", None)
    return {
        "name": name,
        "description": laboratory.settings[name].summary,
        "source": data.source if data is not None else "made from a fixed seed",
        "n_train": description.n_train,
        "n_targets": description.n_targets,
        "normalisation": description.normalisation,
        "output": description.output,
        "accuracy": laboratory.accuracy(name),
        "scale_free": scale_freeness(laboratory, name),
    }

"""Run a suite: measure, judge, check that every check can fail, write the run."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dmtheory.agreement.agreement import agreement
from dmtheory.agreement.bootstrap import Interval
from dmtheory.attribution import Attribution
from dmtheory.engines.base import Engine, run_all
from dmtheory.identity import digest
from validation.cases import CASES, case
from validation.claim import Claim, Entry, Evidence
from validation.claims import CLAIMS
from validation.controls import CONTROLS, Control
from validation.environment import commit, environment
from validation.figures import scatter
from validation.laboratory import Laboratory, Setting
from validation.verdict import (
    INCONCLUSIVE,
    combined_verdict,
    interval_to_json,
    reason_for,
)


def included(suite: str) -> tuple[str, ...]:
    """Return the suites whose entries a suite decides: its own and smaller ones."""
    return ("small",) if suite == "small" else ("small", suite)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """An entry's evidence and what it cost."""

    claim_id: str
    entry: Entry
    evidence: Evidence
    seconds: float


def run_suite(
    laboratory: Laboratory,
    *,
    suite: str,
    claims: list[str],
    scales: list[str],
    engine: Engine,
    command: str,
    progress: Callable[[str, int, int], None],
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
    measured = [_measure(laboratory, claim, entry) for claim, entry in chosen]
    judged = run_all(
        engine,
        judge_entry,
        measured,
        lambda n: progress("judging", n, len(measured)),
    )
    names = list(dict.fromkeys(entry.problem for _, entry in chosen))
    return {
        "suite": suite,
        "commit": commit(),
        "config_digest": config_digest(laboratory.settings, laboratory.seed),
        "started": started.isoformat(timespec="seconds"),
        "seed": laboratory.seed,
        "command": command,
        "environment": environment(),
        "problems": [_problem(laboratory, name) for name in names],
        "claims": judged,
        "cases": [case(laboratory, name) for name in CASES if name in names],
        "models_trained": laboratory.models_trained,
        "seconds": time.perf_counter() - clock,
    }


def judge_entry(measured: Measured) -> dict[str, Any]:
    """Return one entry of results.json: parts, verdict, controls and figure."""
    claim, entry, evidence = (
        CLAIMS[measured.claim_id],
        measured.entry,
        measured.evidence,
    )
    parts = claim.judge(evidence, entry)
    controls = [
        _judged_wrong(claim, entry, evidence, control)
        for control in CONTROLS
        if control.kind in claim.notices
    ]
    relation = _relation(*claim.drawn(evidence))
    missed = [control["name"] for control in controls if control["passed"]]
    reason = evidence.blocked or reason_for(parts)
    if missed:
        reason = "; ".join([reason, f"not noticed: {', '.join(missed)}"]).strip("; ")
    blocked = bool(evidence.blocked)
    return {
        "id": claim.id,
        "title": claim.title,
        "statement": claim.statement,
        "source": claim.source,
        "scale": entry.scale,
        "problem": entry.problem,
        "verdict": INCONCLUSIVE if blocked else combined_verdict(parts),
        "expected": claim.expected,
        "passed": not blocked and not missed and all(part.passed for part in parts),
        "parts": [part.to_json() for part in parts],
        "statistics": {
            name: interval_to_json(interval)
            for name, interval in (
                *((part.name, part.interval) for part in parts),
                *relation.items(),
            )
        },
        "tolerance": list(parts[0].tolerance),
        "models_trained": evidence.models_trained,
        "seconds": measured.seconds,
        "reason": reason,
        "estimands": _estimands(evidence),
        "controls": controls,
        "figure": _figure(claim, evidence, relation),
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
        path = folder / f"{name}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(path)


def point_latest(folder: Path) -> None:
    """Make the `latest` link beside a run folder point at it."""
    link = folder.parent / "latest"
    fresh = folder.parent / f".latest-{os.getpid()}"
    fresh.symlink_to(folder.name, target_is_directory=True)
    fresh.replace(link)


def _measure(laboratory: Laboratory, claim: Claim, entry: Entry) -> Measured:
    clock = time.perf_counter()
    evidence = claim.measure(laboratory, entry)
    seconds = time.perf_counter() - clock
    return Measured(claim_id=claim.id, entry=entry, evidence=evidence, seconds=seconds)


def _judged_wrong(
    claim: Claim, entry: Entry, evidence: Evidence, control: Control
) -> dict[str, Any]:
    parts = claim.judge(control.applied(evidence), entry)
    return {
        "name": control.name,
        "verdict": combined_verdict(parts),
        "passed": all(part.passed for part in parts),
        "detail": reason_for(parts),
    }


def _relation(estimate: Attribution, reference: Attribution) -> dict[str, Interval]:
    """Return everything that relates the two sides of the figure, with intervals.

    Empty where both are exact, or where they share seeds on purpose.
    """
    if estimate.seeds & reference.seeds or (estimate.exact and reference.exact):
        return {}
    found = agreement(estimate, reference).intervals()
    return {name.replace("_", " "): interval for name, interval in found.items()}


def _figure(
    claim: Claim, evidence: Evidence, relation: dict[str, Interval]
) -> dict[str, Any]:
    estimate, reference = claim.drawn(evidence)
    predicted, label = claim.predicted_slope(evidence)
    return scatter(
        estimate,
        reference,
        title=claim.title,
        predicted_slope=predicted,
        predicted_label=label,
        fitted_slope=relation["slope"].value if relation else None,
    )


def _estimands(evidence: Evidence) -> list[dict[str, str]]:
    return [
        {"role": f"{role}: {name}", "text": str(a.estimand), "method": a.method}
        for role, side in (
            ("estimate", evidence.estimates),
            ("reference", evidence.references),
        )
        for name, a in side.items()
    ]


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
    }

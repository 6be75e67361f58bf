"""Studies: figures that belong to a run and explain its claims, and decide nothing."""

import time
import traceback
from collections.abc import Callable, Sequence

from validation.laboratory import Laboratory
from validation.studies import (
    efficiency,
    frontier,
    inverse_p,
    lds_axis,
    matched_collapse,
    matched_decay,
    response_curves,
)
from validation.studies.study import Finding, Json, Made, Run, Study
from validation.verdicts.judging import Measured

STUDIES: tuple[Study, ...] = (
    inverse_p.STUDY,
    response_curves.OF_CONVEX,
    response_curves.OF_NETWORKS,
    matched_decay.STUDY,
    matched_collapse.STUDY,
    frontier.OF_CONVEX,
    frontier.OF_NETWORKS,
    lds_axis.STUDY,
    efficiency.STUDY,
)


def findings_of(measured: Sequence[Measured], judged: Sequence[Json]) -> list[Finding]:
    """Return what was measured of every entry beside what was judged of it."""
    return [
        Finding(
            claim_id=one.claim_id, entry=one.entry, evidence=one.evidence, judged=found
        )
        for one, found in zip(measured, judged, strict=True)
    ]


def run_studies(
    laboratory: Laboratory,
    *,
    thorough: bool,
    scales: Sequence[str],
    findings: Sequence[Finding],
    progress: Callable[[str, int, int], None],
    over: bool = False,
) -> list[Json]:
    """Make the studies that explain what a run decided.

    Args:
        laboratory: Makes and keeps the estimates.
        thorough: Whether the run may take an hour.
        scales: Scales that the run decides.
        findings: Its entries, as they were measured and judged.
        progress: Called with (what, done, in all).
        over: Whether the run's time is spent; no study is begun then.

    Returns:
        One study a question and problem, of the shape that `reports.load` documents.
    """
    run = Run(laboratory=laboratory, thorough=thorough, findings=findings)
    decided = {finding.claim_id for finding in findings}
    due = [
        (study, problem)
        for study in STUDIES
        if study.scale in scales and decided & set(study.explains)
        for problem in study.problems(run)
    ]
    if over:
        return []
    made: list[Json] = []
    for study, problem in due:
        progress("studies", len(made), len(due))
        made.append(_made(run, study, problem))
    progress("studies", len(due), len(due))
    return [study for study in made if study["figures"] or study["failed"]]


def _made(run: Run, study: Study, problem: str) -> Json:
    laboratory, clock = run.laboratory, time.perf_counter()
    before, failed = laboratory.models_trained, False
    try:
        made = study.make(run, problem)
    except Exception as error:
        # What took an hour to decide is not lost with a figure.
        traceback.print_exception(error)
        note = f"failed: {type(error).__name__}: {error}"
        made, failed = Made(figures=[], note=note), True
    return {
        "id": study.id,
        "title": study.title,
        "text": study.text,
        "note": made.note,
        "scale": study.scale,
        "problem": problem,
        "explains": list(study.explains),
        "legend": [{"name": name, "text": text} for name, text in made.legend],
        "models_trained": laboratory.models_trained - before,
        "seconds": time.perf_counter() - clock,
        "figures": made.figures,
        "failed": failed,
    }

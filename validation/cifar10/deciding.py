"""From evidence to entries of results.json."""

import time
from collections.abc import Mapping
from typing import Any

from validation.cifar10.archive import Archive
from validation.cifar10.group_claims import GroupClaim, group_claims
from validation.cifar10.image_claim import ImageClaim
from validation.cifar10.image_claims import image_claims
from validation.cifar10.tasks import FAILED
from validation.claim import Claim, Entry, Evidence
from validation.claims import CLAIMS
from validation.controls import CONTROLS, Control
from validation.judging import Measured, judge_entry, not_begun
from validation.verdict import (
    INCONCLUSIVE,
    combined_verdict,
    interval_to_json,
    reason_for,
)

Json = dict[str, Any]


def decide(
    archive: Archive, there: set[str], notes: Mapping[str, str], budget: float
) -> list[Json]:
    """Judge what can be judged; the rest is said to be not begun.

    Args:
        archive: What the run's folder holds.
        there: Work and tasks that are of use.
        notes: Why tasks were left out.
        budget: Seconds of the run.

    Returns:
        One entry a claim and problem, in the order of the report.
    """
    titles = archive.subjects.titles()
    claims: list[GroupClaim | ImageClaim] = [
        *group_claims(archive),
        *image_claims(archive),
    ]
    found = []
    for claim in claims:
        if set(claim.needs) <= there:
            judged = _judged(archive, claim)
        else:
            judged = _unbegun(claim, budget)
            why = [f"{name} {notes[name]}" for name in claim.needs if name in notes]
            judged["reason"] = "; ".join(why) or judged["reason"]
        variant = getattr(claim, "variant", "")
        title = titles[claim.entry.problem]
        judged["problem"] = f"{title}, {variant}" if variant else title
        found.append(judged)
    return found


def _judged(archive: Archive, claim: GroupClaim | ImageClaim) -> Json:
    clock = time.perf_counter()
    try:
        evidence = claim.measure(archive)
    except ValueError as error:
        # Such as a training that diverged where every one is needed.
        why = f"{FAILED} {' '.join(str(error).split())}"
        return _unbegun(claim, 0.0) | {"reason": why}
    seconds = time.perf_counter() - clock
    if isinstance(claim, ImageClaim):
        return _of_image_claim(claim, evidence, seconds)
    return judge_entry(
        Measured(
            claim_id=claim.claim_id,
            entry=claim.entry,
            evidence=evidence,
            seconds=seconds,
        )
    )


def _unbegun(claim: GroupClaim | ImageClaim, budget: float) -> Json:
    if isinstance(claim, ImageClaim):
        return not_begun(claim.claim, claim.entry, budget)
    return not_begun(CLAIMS[claim.claim_id], claim.entry, budget)


def _of_image_claim(made: ImageClaim, evidence: Evidence, seconds: float) -> Json:
    """Return an entry of a claim whose judge knows the images."""
    claim, entry = made.claim, made.entry
    parts = claim.judge(evidence, entry)
    controls = [
        _judged_wrong(claim, evidence, entry, control)
        for control in CONTROLS
        if control.kind in claim.notices
    ]
    missed = [control["name"] for control in controls if control["passed"]]
    reasons = [evidence.blocked or reason_for(parts)]
    reasons += [f"not noticed: {', '.join(missed)}"] if missed else []
    blocked = bool(evidence.blocked)
    return not_begun(claim, entry, 0.0) | {
        "verdict": INCONCLUSIVE if blocked else combined_verdict(parts),
        "passed": not blocked and not missed and all(part.passed for part in parts),
        "parts": [part.to_json() for part in parts],
        "statistics": {part.name: interval_to_json(part.interval) for part in parts},
        "tolerance": list(parts[0].tolerance),
        "models_trained": evidence.models_trained,
        "seconds": seconds,
        "blocked": evidence.blocked,
        "reason": "; ".join(reason for reason in reasons if reason),
        "estimands": [
            {"role": f"estimate: {name}", "text": str(a.estimand), "method": a.method}
            for name, a in evidence.estimates.items()
        ],
        "controls": controls,
    }


def _judged_wrong(
    claim: Claim, evidence: Evidence, entry: Entry, control: Control
) -> Json:
    parts = claim.judge(control.applied(evidence), entry)
    return {
        "name": control.name,
        "required": True,
        "verdict": combined_verdict(parts),
        "passed": all(part.passed for part in parts),
        "detail": reason_for(parts),
    }

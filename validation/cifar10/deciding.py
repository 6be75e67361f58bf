"""From evidence to entries of results.json."""

import time
from collections.abc import Mapping
from typing import Any

from validation.cifar10.archive import Archive
from validation.cifar10.group_claims import GroupClaim, group_claims
from validation.cifar10.image_claim import ImageClaim
from validation.cifar10.image_claims import image_claims
from validation.cifar10.tasks import FAILED
from validation.claim import Evidence
from validation.claims import CLAIMS
from validation.verdicts.controls import CONTROLS
from validation.verdicts.judging import (
    Measured,
    judge_entry,
    judged_wrong,
    not_begun,
    verdict_entry,
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
    controls = [
        judged_wrong(
            claim, entry, control.applied(evidence), control.name, required=True
        )
        for control in CONTROLS
        if control.kind in claim.notices
    ]
    parts = claim.judge(evidence, entry)
    return verdict_entry(claim, entry, evidence, parts, controls, seconds)

"""From an entry's evidence to its verdict, and to proof that it could have failed."""

import traceback
from dataclasses import dataclass
from typing import Any

from dmtheory.agreement.agreement import agreement
from dmtheory.agreement.bootstrap import Interval
from dmtheory.attribution import Attribution
from validation.claim import SCALE, Claim, Entry, Evidence
from validation.claims import CLAIMS
from validation.figures import scatter
from validation.verdicts.controls import CONTROLS, MORE_CONTROLS, Control, scaled
from validation.verdicts.verdict import (
    INCONCLUSIVE,
    Part,
    combined_verdict,
    interval_to_json,
    reason_for,
)

# Factors that are tried, to find the smallest error of scale that is noticed.
FACTORS = (1.01, 1.02, 1.05, 1.1, 1.15, 1.2, 1.25, 1.5, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """An entry's evidence and what it cost.

    Attributes:
        claim_id: The claim.
        entry: Where it is decided.
        evidence: What was measured.
        seconds: How long that took.
        matrix: Whether it is judged with every wrong estimate, not only with those
            that it has to notice.
        remade: The evidence with estimates that were made anew, wrongly, by what is
            wrong with them.
    """

    claim_id: str
    entry: Entry
    evidence: Evidence
    seconds: float
    matrix: bool = False
    remade: tuple[tuple[str, Evidence], ...] = ()


def judge_entry(measured: Measured) -> dict[str, Any]:
    """Return one entry of results.json: parts, verdict, controls and figure."""
    claim, entry, evidence = (
        CLAIMS[measured.claim_id],
        measured.entry,
        measured.evidence,
    )
    parts = claim.judge(evidence, entry)
    chosen = [c for c in CONTROLS if c.kind in claim.notices]
    if measured.matrix:
        # What knows no scale passes every wrong scale, after many seconds.
        scales = {SCALE, "divisor"} if SCALE not in claim.notices else set()
        chosen = [c for c in (*CONTROLS, *MORE_CONTROLS) if c.kind not in scales]
    controls = [
        judged_wrong(
            claim,
            entry,
            control.applied(evidence),
            control.name,
            required=control in CONTROLS and control.kind in claim.notices,
        )
        for control in chosen
    ] + [
        judged_wrong(claim, entry, wrong, name, required=True)
        for name, wrong in measured.remade
    ]
    relation = _relation(*claim.drawn(evidence))
    found = verdict_entry(claim, entry, evidence, parts, controls, measured.seconds)
    found["statistics"] |= {n: interval_to_json(i) for n, i in relation.items()}
    if measured.matrix:
        found["noticed_slopes"] = _noticed(claim, entry, evidence)
    return found | {"figure": _figure(claim, evidence, relation)}


def verdict_entry(
    claim: Claim,
    entry: Entry,
    evidence: Evidence,
    parts: list[Part],
    controls: list[dict[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    """Return an entry of results.json, without a figure.

    Args:
        claim: The claim.
        entry: Where it is decided.
        evidence: What was measured.
        parts: The claim's judgement of that.
        controls: Its judgements of wrong estimates, of `judged_wrong`.
        seconds: How long measuring took.

    Returns:
        The verdict and everything that it rests on.
    """
    missed = [c["name"] for c in controls if c["required"] and c["passed"]]
    reason = evidence.blocked or reason_for(parts, evidence.models_trained)
    if missed:
        reason = "; ".join([reason, f"not noticed: {', '.join(missed)}"]).strip("; ")
    blocked = bool(evidence.blocked)
    return _undecided(claim, entry, reason) | {
        "verdict": INCONCLUSIVE if blocked else combined_verdict(parts),
        "passed": not blocked and not missed and all(part.passed for part in parts),
        "parts": [part.to_json(evidence.models_trained) for part in parts],
        "statistics": {part.name: interval_to_json(part.interval) for part in parts},
        "tolerance": list(parts[0].tolerance),
        "models_trained": evidence.models_trained,
        "seconds": seconds,
        "blocked": evidence.blocked,
        "estimands": _estimands(evidence),
        "controls": controls,
    }


def judged_wrong(
    claim: Claim, entry: Entry, wrong: Evidence, name: str, *, required: bool
) -> dict[str, Any]:
    """Return a claim's verdict on wrong estimates, which it may have to notice."""
    parts = claim.judge(wrong, entry)
    return {
        "name": name,
        "required": required,
        "verdict": combined_verdict(parts),
        "passed": all(part.passed for part in parts),
        "detail": reason_for(parts),
    }


def _relation(estimate: Attribution, reference: Attribution) -> dict[str, Interval]:
    """Return everything that relates the two sides of the figure, with intervals.

    Empty where both are exact, where they share seeds on purpose, or where a side's
    units were not kept.
    """
    if estimate.seeds & reference.seeds or (estimate.exact and reference.exact):
        return {}
    if any(side.units is None and not side.exact for side in (estimate, reference)):
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


def _noticed(claim: Claim, entry: Entry, evidence: Evidence) -> dict[str, float | None]:
    """Return the factors nearest to 1, above and below it, that make the claim fail.

    None where even the largest goes unnoticed, or the claim knows no scale.
    """
    if SCALE not in claim.notices:
        return {"above": None, "below": None}

    def first(factors: tuple[float, ...]) -> float | None:
        for factor in factors:
            wrong = Control(name="", kind=SCALE, spoil=scaled(factor)).applied(evidence)
            if not all(part.passed for part in claim.judge(wrong, entry)):
                return factor
        return None

    return {"above": first(FACTORS), "below": first(tuple(1 / f for f in FACTORS))}


def judged_or_failed(measured: Measured) -> dict[str, Any]:
    """Return an entry of results.json; where judging raised, one that says so."""
    try:
        return judge_entry(measured)
    except Exception as error:
        claim = CLAIMS[measured.claim_id]
        return failed(claim, measured.entry, error)


def not_begun(claim: Claim, entry: Entry, budget: float) -> dict[str, Any]:
    """Return an entry of results.json that the budget did not reach."""
    return _undecided(
        claim,
        entry,
        f"not begun: the budget of {budget:.0f} s was spent; give it more",
    )


def failed(claim: Claim, entry: Entry, error: Exception) -> dict[str, Any]:
    """Return an entry that raised, which costs a run of an hour no other entry.

    The traceback goes to standard error.
    """
    traceback.print_exception(error)
    return _undecided(claim, entry, f"failed: {type(error).__name__}: {error}")


def _undecided(claim: Claim, entry: Entry, reason: str) -> dict[str, Any]:
    """Return an entry of results.json with all its names and nothing measured."""
    return {
        "id": claim.id,
        "title": claim.title,
        "statement": claim.statement,
        "source": claim.source,
        "scale": entry.scale,
        "problem": entry.problem,
        "verdict": INCONCLUSIVE,
        "expected": claim.expected,
        "passed": False,
        "parts": [],
        "statistics": {},
        "tolerance": [None, None],
        "models_trained": 0,
        "seconds": 0.0,
        "blocked": "",
        "reason": reason,
        "estimands": [],
        "controls": [],
        "noticed_slopes": None,
        "figure": None,
    }

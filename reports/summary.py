"""What a run found, in a few plain sentences made from its numbers."""

from collections.abc import Sequence
from typing import Any

from dmtheory.rendering import format_interval, format_number

# Training that does not change when all weights are scaled alike.
_SCALE_FREE = ("sum", "batch_sum")
_POSTED = "posted-identity"
_REPLACEMENTS = (
    (
        "bridge",
        "the derivative averaged over random subsets and over the example's own weight",
    ),
    ("matched-derivative", "as an approximation, the derivative at the weights p·1"),
)
_MOST_NAMED = 4


def summary_sentences(results: dict[str, Any]) -> list[str]:
    """Say what a run found.

    Args:
        results: The run's data, as `load_run` checked it.

    Returns:
        Sentences: what became of the posted identity, what else came out.
    """
    claims = results["claims"]
    scale_free = {
        problem["name"]
        for problem in results["problems"]
        if problem["normalisation"] in _SCALE_FREE
    }
    return [
        *_posted_identity(claims, scale_free),
        *_outcomes(claims),
        *_controls(claims),
    ]


def _outcomes(claims: Sequence[dict[str, Any]]) -> list[str]:
    decided = [claim for claim in claims if claim["passed"] is not None]
    real = [claim for claim in decided if claim["scale"] != "C"]
    exact = [claim for claim in decided if claim["scale"] == "C"]
    sentences = []
    if real:
        sentences.append(
            f"On real data and trained networks, {_share(real)} came out as expected."
        )
    if exact:
        sentences.append(
            f"Of the exact checks, which test the implementation and are no empirical "
            f"support, {_share(exact)} did."
        )
    failed = [_place(claim) for claim in decided if not claim["passed"]]
    if failed:
        sentences.append(f"Not as expected: {_listed(failed)}.")
    skipped = len(claims) - len(decided)
    if skipped:
        sentences.append(
            f"{_counted(skipped)} {'entry was' if skipped == 1 else 'entries were'} "
            "skipped, for the reason given below."
        )
    return sentences


def _posted_identity(
    claims: Sequence[dict[str, Any]], scale_free: set[str]
) -> list[str]:
    posted = _entries(claims, _POSTED, scale_free)
    if not posted:
        return []
    verdicts = {claim["verdict"] for claim in posted}
    verdict = verdicts.pop() if len(verdicts) == 1 else "not decided alike everywhere"
    sentences = [
        "The posted identity says that a datamodel coefficient equals the response "
        "derivative at full weight, a slope of 1. On the scale-free problems the slope "
        f"was {_slopes(posted)}: the identity is {verdict} there."
    ]
    instead = []
    for name, words in _REPLACEMENTS:
        entries = _entries(claims, name, scale_free)
        if entries:
            slopes = _slopes(entries, most_named=1)
            instead.append(f"{words} (slope {slopes}; {_verdicts(entries)})")
    if instead:
        sentences.append(f"In its place the theory puts {', and, '.join(instead)}.")
    return sentences


def _entries(
    claims: Sequence[dict[str, Any]], name: str, scale_free: set[str]
) -> list[dict[str, Any]]:
    found = [
        claim
        for claim in claims
        if claim["id"] == name
        and claim["problem"] in scale_free
        and claim["verdict"] != "skipped"
        and _slope(claim) is not None
    ]
    # Exact checks are no evidence about training, and stand in only where alone.
    return [claim for claim in found if claim["scale"] != "C"] or found


def _slope(claim: dict[str, Any]) -> dict[str, Any] | None:
    named = [*claim["statistics"].items()]
    named += [(part["name"], part) for part in claim["parts"]]
    for wanted in (lambda name: name == "slope", lambda name: name.startswith("slope")):
        for name, estimate in named:
            if wanted(name.lower()) and estimate["value"] is not None:
                return estimate
    return None


def _slopes(claims: Sequence[dict[str, Any]], *, most_named: int = 3) -> str:
    slopes = [slope for claim in claims if (slope := _slope(claim)) is not None]
    if len(slopes) > most_named:
        values = [slope["value"] for slope in slopes]
        return (
            f"between {format_number(min(values))} and {format_number(max(values))} "
            f"over {len(slopes)} problems"
        )
    return _joined([
        f"{format_interval(slope['value'], slope['low'], slope['high'])} on "
        f"{claim['problem']}"
        for claim, slope in zip(claims, slopes, strict=True)
    ])


def _verdicts(claims: Sequence[dict[str, Any]]) -> str:
    verdicts = [claim["verdict"] for claim in claims]
    if len(set(verdicts)) == 1:
        return verdicts[0]
    return f"supported on {verdicts.count('supported')} of {len(verdicts)}"


def _controls(claims: Sequence[dict[str, Any]]) -> list[str]:
    controls = [
        control
        for claim in claims
        for control in claim["controls"]
        if control["passed"] is not None
    ]
    if not controls:
        return []
    # A spoiled estimate that passes is one that the check did not notice.
    caught = sum(not control["passed"] for control in controls)
    return [
        f"Estimates spoiled on purpose were caught in {caught} of {len(controls)} "
        "cases."
    ]


def _share(claims: Sequence[dict[str, Any]]) -> str:
    passed = sum(bool(claim["passed"]) for claim in claims)
    whole = "entry" if len(claims) == 1 else "entries"
    return f"{passed} of {len(claims)} {whole}"


def _place(claim: dict[str, Any]) -> str:
    found = claim["verdict"]
    if found == claim["expected"]:
        found += ", but not in every part as expected"
    return f"{claim['id']} on {claim['problem']} ({found})"


def _listed(items: Sequence[str]) -> str:
    if len(items) <= _MOST_NAMED:
        return _joined(items)
    return f"{', '.join(items[:_MOST_NAMED])} and {len(items) - _MOST_NAMED} more"


def _joined(items: Sequence[str]) -> str:
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def _counted(number: int) -> str:
    words = ("One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
    return words[number - 1] if number <= len(words) else f"{number:,}"

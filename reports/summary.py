"""What a run found, in a few plain sentences made from its numbers."""

from collections.abc import Sequence
from typing import Any

from dmtheory.rendering import format_interval, format_number
from reports.lists import joined, listed
from reports.together import together_sentences

# Training that does not change when all weights are scaled alike.
_SCALE_FREE = ("sum", "batch_sum")
_POSTED = "posted-identity"
_DIRECTION = "direction kept"
_REPLACEMENTS = (
    (
        "bridge",
        "the derivative averaged over random subsets and over the example's own weight",
    ),
    ("matched-derivative", "to good approximation, that where every weight is p"),
)


def summary_sentences(results: dict[str, Any]) -> list[str]:
    """Say what a run found.

    Args:
        results: The run's data, as `load_run` checked it.

    Returns:
        Paragraphs: what became of the posted identity, what holds in its place, what
        else came out.
    """
    claims = results["claims"]
    scale_free = {
        problem["name"]
        for problem in results["problems"]
        if problem["normalisation"] in _SCALE_FREE
    }
    others = {problem["name"] for problem in results["problems"]} - scale_free
    paragraphs = (
        _posted_identity(claims, scale_free, others),
        _replacements(claims, scale_free | others),
        [*_outcomes(claims), *together_sentences(claims), *_controls(claims)],
    )
    return [" ".join(sentences) for sentences in paragraphs if sentences]


def _outcomes(claims: Sequence[dict[str, Any]]) -> list[str]:
    decided = [claim for claim in claims if claim["passed"] is not None]
    real = [claim for claim in decided if claim["scale"] != "C"]
    exact = [claim for claim in decided if claim["scale"] == "C"]
    sentences = []
    if real:
        sentences.append(
            f"On real data and trained networks, {_share(real)} of the table came out "
            "as theory says they must."
        )
    if exact:
        sentences.append(
            f"Of the exact checks, which test the implementation and are no empirical "
            f"support, {_share(exact)} did."
        )
    failed = [_place(claim) for claim in decided if not claim["passed"]]
    if failed:
        sentences.append(f"Not as expected: {listed(failed)}.")
    skipped = len(claims) - len(decided)
    if skipped:
        sentences.append(
            f"{_counted(skipped)} {'entry was' if skipped == 1 else 'entries were'} "
            "skipped, for the reason given below."
        )
    return sentences


def _posted_identity(
    claims: Sequence[dict[str, Any]], scale_free: set[str], others: set[str]
) -> list[str]:
    said = [
        f"{words} the slope was {_slopes(posted)}: the identity is "
        f"{_verdict(posted)} there."
        for words, problems in (
            ("Where training divides its loss by N, as the post writes it,", others),
            ("Where it divides by the sum of the weights,", scale_free),
        )
        if (posted := _entries(claims, _POSTED, problems))
    ]
    if not said:
        return []
    return [
        "The post says that a datamodel coefficient equals the derivative of the "
        "expected output with respect to the example's weight, on the full data: the "
        "slope of the one on the other would be 1.",
        *said,
        *_direction(claims),
    ]


def _direction(claims: Sequence[dict[str, Any]]) -> list[str]:
    """Say whether the two are parallel at least, where the run measured it."""
    parts = [
        part
        for claim in claims
        if claim["id"] == _POSTED and claim["scale"] != "C"
        for part in claim["parts"]
        if part["name"] == _DIRECTION and part["value"] is not None
    ]
    if not parts:
        return []
    verdicts = {part["verdict"] for part in parts}
    ends = sorted(part["value"] for part in parts)
    span = " to ".join(format_number(value) for value in dict.fromkeys(_ends(ends)))
    if verdicts == {"supported"}:
        said = "The two keep one direction"
    else:
        said = "Whether the two keep one direction is not decided alike everywhere"
    return [f"{said}: their correlation, errors taken out, is {span}."]


def _ends(ordered: Sequence[float]) -> tuple[float, float]:
    return ordered[0], ordered[-1]


def _verdict(claims: Sequence[dict[str, Any]]) -> str:
    verdicts = {claim["verdict"] for claim in claims}
    return verdicts.pop() if len(verdicts) == 1 else "not decided alike everywhere"


def _replacements(claims: Sequence[dict[str, Any]], problems: set[str]) -> list[str]:
    instead = []
    for name, words in _REPLACEMENTS:
        entries = _entries(claims, name, problems)
        if entries:
            slopes = _slopes(entries, most_named=1)
            instead.append(f"{words} (slope {slopes}; {_verdicts(entries)})")
    if not instead:
        return []
    return [f"In its place the theory puts {', and, '.join(instead)}."]


def _entries(
    claims: Sequence[dict[str, Any]], name: str, problems: set[str]
) -> list[dict[str, Any]]:
    found = [
        claim
        for claim in claims
        if claim["id"] == name
        and claim["problem"] in problems
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
    return joined([
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
    # Others, such as a wrong scale in a claim about ranks, may go unnoticed.
    controls = [
        control
        for claim in claims
        for control in claim["controls"]
        if control["passed"] is not None and control.get("required", True)
    ]
    if not controls:
        return []
    # A spoiled estimate that passes is one that the check did not notice.
    caught = sum(not control["passed"] for control in controls)
    return [
        f"Of {len(controls)} estimates that were wrong on purpose and had to be "
        f"noticed, {caught} were."
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


def _counted(number: int) -> str:
    words = ("One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
    return words[number - 1] if number <= len(words) else f"{number:,}"

"""Which entries of a run still stand when all of them are taken together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dmtheory.rendering import format_number
from reports.lists import listed

Json = dict[str, Any]
# Smaller chances rest on a normal law far beyond the numbers behind it.
_SMALLEST = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Whether an entry stands beside all others of its run.

    Attributes:
        stands: Whether it does.
        words: The same in words.
        chance: The entry's adjusted p-value, as text.
    """

    stands: bool
    words: str
    chance: str


def standing_of(claim: Json) -> Standing | None:
    """Return what an entry's run says of it; None where nothing was decided or said."""
    found = claim.get("family_wise")
    if found is None or claim["passed"] is None:
        return None
    adjusted = found["adjusted"]
    chance = "below 10⁻⁶" if adjusted < _SMALLEST else format_number(adjusted, digits=2)
    words = "stands" if found["stands"] else "does not stand"
    return Standing(stands=found["stands"], words=words, chance=chance)


def together_sentences(claims: Sequence[Json]) -> list[str]:
    """Say how many entries stand together, and which come out right only alone.

    Args:
        claims: The entries, as `load_run` checked them.

    Returns:
        Sentences; none where the run does not say, or has one entry alone.
    """
    told = [(claim, found) for claim in claims if (found := standing_of(claim))]
    if len(told) < 2:
        return []
    standing = sum(one.stands for _, one in told)
    said = [
        f"With {len(told)} entries decided at once, some could come out as expected by "
        f"luck. With that allowed for, {standing} stand together: in at most one run "
        "in twenty would noise put any entry among those that stand which in truth is "
        "not as expected."
    ]
    alone = [
        f"{claim['id']} on {claim['problem']}"
        for claim, one in told
        if claim["passed"] and not one.stands
    ]
    if alone:
        whose = "its" if len(alone) == 1 else "their"
        said.append(f"As expected by {whose} interval alone: {listed(alone)}.")
    return said

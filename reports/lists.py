"""Lists of names inside sentences."""

from collections.abc import Sequence

_MOST_NAMED = 4


def listed(names: Sequence[str]) -> str:
    """Name the first of the names, and count those after the fourth."""
    if len(names) <= _MOST_NAMED:
        return joined(names)
    return f"{', '.join(names[:_MOST_NAMED])} and {len(names) - _MOST_NAMED} more"


def joined(names: Sequence[str]) -> str:
    """Name all of the names, "and" before the last."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"

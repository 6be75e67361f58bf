"""What another library says of a bad file, in one line."""

_LONGEST = 200


def reason(error: BaseException) -> str:
    """Return an error's text in one line, cut, or its type where it has none."""
    return " ".join(str(error).split())[:_LONGEST] or type(error).__name__


def quoted(name: object) -> str:
    """Return a name from a file, quoted so that it cannot break a line, and cut."""
    return f"{name!r:.80}"

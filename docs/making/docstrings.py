"""Docstrings of Google's form as Markdown."""

import re
import textwrap
from collections.abc import Iterator

_SECTION = re.compile(
    r"^(Args|Attributes|Raises|Returns|Yields|References):\n", re.MULTILINE
)
_TITLES = {"Args": "Arguments"}
_ITEM = re.compile(r"(\*{0,2}\w+(?:, \w+)*): +(.*)", re.DOTALL)


def prose(docstring: str) -> Iterator[str]:
    """Yield the blocks of a docstring: paragraphs, lists, code, sections."""
    text, *rest = _SECTION.split(f"{docstring}\n")
    yield from _blocks(text)
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        yield f"**{_TITLES.get(title, title)}**"
        own, after = _parted(body)
        if title in {"Args", "Attributes", "Raises"}:
            yield "\n".join(_item(one) for one in re.split(r"\n(?=\S)", own))
        else:
            yield from _blocks(own)
        yield from _blocks(after)


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is; code in backticks stays code."""
    pieces = re.split(r"(`+[^`]+`+)", text)
    return "".join(
        piece if k % 2 else re.sub(r"([\\*_\[\]<>|~#$])", r"\\\1", piece)
        for k, piece in enumerate(pieces)
    )


def _parted(body: str) -> tuple[str, str]:
    """Return a section's own lines, which are indented, and what comes after them."""
    lines = body.splitlines()
    end = next(
        (k for k, line in enumerate(lines) if line and not line.startswith(" ")),
        len(lines),
    )
    own = textwrap.dedent("\n".join(lines[:end]))
    return own.strip("\n"), "\n".join(lines[end:])


def _item(text: str) -> str:
    one_line = " ".join(text.split())
    found = _ITEM.fullmatch(one_line)
    if found is None:
        return f"- {escaped(one_line)}"
    return f"- `{found[1]}`: {escaped(found[2])}"


def _blocks(text: str) -> Iterator[str]:
    """Yield paragraphs as they are, and indented ones as code."""
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        if block.startswith("    "):
            yield f"```text\n{textwrap.dedent(block)}\n```"
        elif block.startswith("- "):
            items = re.split(r"\n(?=- )", block)
            yield "\n".join(f"- {escaped(' '.join(i[2:].split()))}" for i in items)
        elif block.strip():
            yield escaped(" ".join(block.split()))

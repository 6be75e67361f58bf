"""Files that appear whole or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield the name that a file is written under before it gets its own.

    It gets its own if nothing was raised; otherwise what was written is taken away.
    """
    # In the same folder, since a rename is atomic only inside one file system.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | Callable[[BinaryIO], None]) -> None:
    """Write a file under another name, then rename it.

    Args:
        path: The file to create or replace; its folder is made.
        content: Its bytes, or what writes them to an open file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial, partial.open("wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            content(file)

"""The runtime type checker that the import hook of the tests applies."""

from collections.abc import Callable
from typing import Any, Protocol, get_args, runtime_checkable

from beartype import beartype


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return beartype's wrapper; protocols in the signature become checkable."""
    for hint in function.__annotations__.values():
        for part in (hint, *get_args(hint)):
            if Protocol in getattr(part, "__bases__", ()):
                runtime_checkable(part)
    return beartype(function)

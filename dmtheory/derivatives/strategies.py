"""Whether what a caller hands over as a strategy is one."""

from typing import Any


def check_strategy(value: Any, protocol: type, name: str, such_as: str) -> None:
    """Raise TypeError unless an object, not its class or its name, is a strategy."""
    if isinstance(value, type) or not isinstance(value, protocol):
        raise TypeError(f"{name} must be an object such as {such_as}, got {value!r}")

"""What bergson's `config.yaml` says of the commands that a folder was made by."""

from typing import Any

from dmtheory.interchange.files.places import Place
from dmtheory.interchange.files.texts import read_yaml

# Options of each command, by the command's name, in their order.
Commands = list[tuple[str, dict[str, Any]]]


def commands_of(config: Place) -> Commands:
    """Return the commands of a `config.yaml`: `steps`, each with one command.

    Raises:
        ValueError: If the file is missing or says something else.
    """
    found = read_yaml(config)
    steps = found.get("steps") if isinstance(found, dict) else None
    if not isinstance(steps, list) or not all(isinstance(s, dict) for s in steps):
        raise ValueError(f"{config} must hold steps of bergson, got something else")
    return [
        (str(name), options if isinstance(options, dict) else {})
        for step in steps
        for name, options in step.items()
    ]


def option_of(commands: Commands, name: str) -> Any:
    """Return the first command's option of this name, None where none has it."""
    for _, options in commands:
        if name in options:
            return options[name]
    return None

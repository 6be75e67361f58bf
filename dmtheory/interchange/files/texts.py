"""JSON, YAML and CSV from elsewhere, bounded in size, with one-line errors."""

import csv
import json
from typing import Any

import numpy as np

from dmtheory.interchange.files.places import Location, Place
from dmtheory.interchange.files.reasons import quoted, reason

_MOST_BYTES = 2**30


def read_text(place: Place, *, lines: bool = False) -> str:
    """Return a file's text.

    Args:
        place: The file.
        lines: Whether it consists of lines, the last of which must have its end too.

    Returns:
        The text.

    Raises:
        ValueError: If it is missing, too long, no text, or ends inside a line.
    """
    size = place.size()
    if size > _MOST_BYTES:
        raise ValueError(f"{place} must have at most {_MOST_BYTES} bytes, got {size}")
    try:
        text = place.read(0, size).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{place} must be text: {reason(error)}") from None
    if lines and text[-1:] != "\n":
        raise ValueError(f"{place} must end its last line: it was cut short")
    return text


def read_json(location: Location | Place) -> Any:
    """Return what a JSON file says.

    Raises:
        ValueError: If it is missing or no JSON, or says something twice.
    """
    place = Place.of(location)
    return parse_json(read_text(place), name=str(place))


def parse_json(text: str | bytes, *, name: str) -> Any:
    """Return what JSON says.

    Raises:
        ValueError: If it is none, or says something twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} must be JSON: {reason(error)}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it names a key twice")
    return found


def read_yaml(location: Location | Place) -> Any:
    """Return the plain values that a YAML file says; aliases are refused.

    A few lines of aliases of aliases unfold to more than any memory.

    Raises:
        ImportError: If PyYAML is not there.
        ValueError: If the file is missing, no YAML, ends inside a line, or has aliases
            or tags.
    """
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError(
            "YAML files need PyYAML: pip install 'dmtheory[formats]'"
        ) from None
    place = Place.of(location)
    text = read_text(place)
    # A list in brackets ends by itself; one of dashes may end anywhere.
    if text[-1:] not in {"\n", "]"}:
        raise ValueError(f"{place} must end its last line: it was cut short")
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has aliases")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{place} must be plain YAML: {reason(error)}") from None


def read_table(place: Place, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return columns of numbers of a CSV file with a header.

    Args:
        place: The file.
        columns: The columns that must be there.

    Returns:
        One array of finite numbers a column.

    Raises:
        ValueError: If the file is missing or cut short, a column is missing or there
            twice, or an entry is no finite number.
    """
    try:
        rows = list(csv.reader(read_text(place, lines=True).splitlines()))
    except csv.Error as error:
        raise ValueError(f"{place} must be a CSV table: {reason(error)}") from None
    header = rows[0] if rows else []
    if len(set(header)) != len(header):
        raise ValueError(f"{place} must name columns once, got {quoted(header)}")
    missing = [name for name in columns if name not in header]
    if missing or len(rows) < 2:
        raise ValueError(f"{place} must have columns {', '.join(columns)} and rows")
    places = [header.index(name) for name in columns]
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise ValueError(
                f"{place} must have {len(header)} entries a line, got {len(row)} in "
                f"line {line}"
            )
    try:
        table = np.array([[float(row[k]) for k in places] for row in rows[1:]])
    except ValueError as error:
        raise ValueError(f"{place} must hold numbers: {reason(error)}") from None
    if not np.isfinite(table).all():
        line = int(np.argwhere(~np.isfinite(table))[0, 0]) + 2
        raise ValueError(
            f"{place} must hold finite numbers, got another in line {line}"
        )
    return dict(zip(columns, table.T, strict=True))


def subset_lists(value: Any, name: str) -> tuple[np.ndarray, ...]:
    """Return lists of example numbers as arrays.

    Args:
        value: A list of lists of integers.
        name: What holds them, for messages.

    Returns:
        One array a list.

    Raises:
        ValueError: If it is something else.
    """
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name} must hold a list of subsets")
    for place, subset in enumerate(value):
        whole = isinstance(subset, list) and all(type(i) is int for i in subset)
        if not whole or any(not 0 <= i < 2**48 for i in subset):
            raise ValueError(f"{name}: subset {place} must be a list of row numbers")
    return tuple(np.array(subset, dtype=np.int64) for subset in value)

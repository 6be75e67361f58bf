"""JSON, YAML and CSV from elsewhere, bounded in size, with one-line errors."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from dmtheory.interchange.reasons import reason

_MOST_BYTES = 2**30


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        ValueError: If it is missing, too long or no text.
    """
    if not path.is_file():
        raise ValueError(f"file must exist, got {path}")
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path} must have at most {_MOST_BYTES} bytes")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text: {reason(error)}") from None


def read_json(path: Path) -> Any:
    """Return what a JSON file says.

    Raises:
        ValueError: If it is missing or no JSON.
    """
    try:
        return json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} must be JSON: {reason(error)}") from None


def read_yaml(path: Path) -> Any:
    """Return the plain values that a YAML file says; aliases are refused.

    A few lines of aliases of aliases unfold to more than any memory.

    Raises:
        ImportError: If PyYAML is not there.
        ValueError: If the file is missing, no YAML, or has aliases or tags.
    """
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError(
            "YAML files need PyYAML: pip install 'dmtheory[formats]'"
        ) from None
    text = read_text(path)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has aliases")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be plain YAML: {reason(error)}") from None


def read_table(path: Path, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return columns of numbers of a CSV file with a header.

    Args:
        path: The file.
        columns: The columns that must be there.

    Returns:
        One array of finite numbers a column.

    Raises:
        ValueError: If the file is missing or cut short, a column is missing, or an
            entry is no finite number.
    """
    try:
        rows = list(csv.reader(read_text(path).splitlines()))
    except csv.Error as error:
        raise ValueError(f"{path} must be a CSV table: {reason(error)}") from None
    header = rows[0] if rows else []
    missing = [name for name in columns if name not in header]
    if missing or len(rows) < 2:
        raise ValueError(f"{path} must have columns {', '.join(columns)} and rows")
    places = [header.index(name) for name in columns]
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise ValueError(
                f"{path} must have {len(header)} entries a line, got {len(row)} in "
                f"line {line}"
            )
    try:
        table = np.array([[float(row[k]) for k in places] for row in rows[1:]])
    except ValueError as error:
        raise ValueError(f"{path} must hold numbers: {reason(error)}") from None
    if not np.isfinite(table).all():
        line = int(np.argwhere(~np.isfinite(table))[0, 0]) + 2
        raise ValueError(f"{path} must hold finite numbers, got another in line {line}")
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

"""Entries of masks and outputs: 0 and 1, and finite numbers, or the row is named."""

from typing import Any

import numpy as np


def checked_masks(
    raw: np.ndarray, numbers: np.ndarray, dtype: Any = np.float64
) -> np.ndarray:
    """Return masks as float64, or as another type.

    Args:
        raw: Masks as stored.
        numbers: Their rows in the file, for the message.
        dtype: What they become.

    Returns:
        The same numbers.

    Raises:
        ValueError: If one is not 0 and 1.
    """
    # A byte of a boolean file may be anything: look at what is stored.
    stored = raw.view(np.uint8) if raw.dtype == np.bool_ else raw
    bad = ~((stored == 0) | (stored == 1))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"masks must hold 0 and 1 only, got {stored[row, column]} in row "
            f"{numbers[row]}, column {column} of the file"
        )
    return stored.astype(dtype)


def checked_outputs(
    found: np.ndarray, numbers: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Return outputs as float64.

    Args:
        found: Outputs as stored.
        numbers: Their rows in the file, for the message.
        columns: Their columns in the file, for the message.

    Returns:
        The same numbers.

    Raises:
        ValueError: If one is not finite.
    """
    # A byte of a boolean file may be anything.
    odd = found.view(np.uint8) > 1 if found.dtype == np.bool_ else False
    bad = ~np.isfinite(found) | odd
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"outputs must be finite, got {found[row, column]} in row {numbers[row]}, "
            f"column {columns[column]} of the file ({int(bad.any(1).sum())} such rows "
            f"among {len(numbers)}): leave the rows out"
        )
    return found.astype(np.float64)

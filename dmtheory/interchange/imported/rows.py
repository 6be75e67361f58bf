"""Matrices that are read a range of rows at a time, whatever they are stored as."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Rows(Protocol):
    """A matrix, one model a row."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes, rows first."""
        ...

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from start up to stop."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ArrayRows:
    """A matrix in memory.

    Attributes:
        array: The matrix.
    """

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes, rows first."""
        return self.array.shape

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from start up to stop."""
        return self.array[start:stop]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SubsetRows:
    """Masks of subsets that are stored as lists of example numbers.

    Attributes:
        subsets: One array of example numbers a model.
        n_train: How many examples there are.
        left_out: Whether the lists name the examples that were left out.
    """

    subsets: tuple[np.ndarray, ...]
    n_train: int
    left_out: bool = False

    def __post_init__(self) -> None:
        for row, subset in enumerate(self.subsets):
            if subset.ndim != 1 or subset.dtype.kind not in "iu":
                raise ValueError(f"subset {row} must be a list of example numbers")
            if len(subset) and not (
                0 <= int(subset.min()) and int(subset.max()) < self.n_train
            ):
                raise ValueError(
                    f"subset {row} must hold example numbers in [0, {self.n_train}), "
                    f"got {int(subset.min())} to {int(subset.max())}"
                )
            if len(np.unique(subset)) != len(subset):
                raise ValueError(f"subset {row} must name every example once")

    @property
    def shape(self) -> tuple[int, ...]:
        """Models and examples."""
        return len(self.subsets), self.n_train

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the masks from start up to stop."""
        chosen = self.subsets[start:stop]
        masks = np.full((len(chosen), self.n_train), self.left_out)
        for mask, subset in zip(masks, chosen, strict=True):
            mask[subset] = not self.left_out
        return masks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChangedRows:
    """Rows that go through a function as they are read.

    Attributes:
        rows: What is read.
        change: What makes a block of new rows of a block of old ones.
        width: How many columns the new rows have.
    """

    rows: Rows
    change: Callable[[np.ndarray], np.ndarray]
    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Models and columns."""
        return self.rows.shape[0], self.width

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the changed rows from start up to stop."""
        return self.change(self.rows.read(start, stop))


def row_entries(rows: Rows) -> int:
    """Return how many entries are read to make one row."""
    inner = rows.rows if isinstance(rows, ChangedRows) else rows
    return math.prod(inner.shape[1:])


def read_numbers(rows: Rows, numbers: np.ndarray) -> np.ndarray:
    """Return the rows of these numbers, in ascending order.

    Args:
        rows: The matrix.
        numbers: Row numbers, ascending, at least one.

    Returns:
        One row a number; nothing between distant rows is read.
    """
    return np.concatenate([
        rows.read(first, last + 1) for first, last in _stretches(numbers)
    ])


def _stretches(numbers: np.ndarray) -> Iterator[tuple[int, int]]:
    """Go over the first and the last of each stretch of consecutive numbers."""
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    firsts = numbers[np.concatenate([[0], breaks + 1])]
    lasts = numbers[np.concatenate([breaks, [len(numbers) - 1]])]
    return zip(firsts.tolist(), lasts.tolist(), strict=True)

"""Masks and outputs of models that others trained, read a block of rows at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dmtheory.checks import check_at_least
from dmtheory.estimand import Point
from dmtheory.identity import numbered
from dmtheory.interchange.imported.entries import checked_masks, checked_outputs
from dmtheory.interchange.imported.laws import Counts, count_masks, told_law
from dmtheory.interchange.imported.rows import Rows, read_numbers, row_entries
from dmtheory.interchange.imported.tags import Tags

# Entries of masks or outputs in a block, before they become float64.
_BLOCK_ENTRIES = 2**24
# Rows whose counts tell the law.
_COUNTED, _STRETCHES = 2048, 8


# Row numbers of the file, masks and outputs.
Block = tuple[
    Int64[np.ndarray, " models"],
    Float[np.ndarray, "models train"],
    Float[np.ndarray, "models targets"],
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImportedRuns:
    """Models that others trained: their masks, their outputs, and what both are.

    Nothing is read until it is asked for, and then a range of rows.

    Attributes:
        masks: 0/1 masks, [models, train].
        outputs: Outputs as tagged, [models, targets].
        tags: What they are.
        numbers: Rows of the file that are meant, ascending.
        columns: Targets that are meant, as columns of the file.
    """

    masks: Rows
    outputs: Rows
    tags: Tags
    numbers: Int64[np.ndarray, " models"]
    columns: Int64[np.ndarray, " targets"]

    def __post_init__(self) -> None:
        n_models = self.masks.shape[0]
        if len(self.masks.shape) != 2 or len(self.outputs.shape) != 2:
            raise ValueError(
                "masks and outputs must be matrices, one model a row, got shapes "
                f"{self.masks.shape} and {self.outputs.shape}"
            )
        if self.outputs.shape[0] != n_models:
            raise ValueError(
                "masks and outputs must have one row a model, got "
                f"{n_models} and {self.outputs.shape[0]} rows"
            )
        if self.tags.held_out is not None:
            check_range(self.tags.held_out, n_models, "held_out")
        _check_numbers(self.numbers, n_models, "rows")
        _check_numbers(self.columns, self.outputs.shape[1], "targets")

    @staticmethod
    def of(
        masks: Rows, outputs: Rows, tags: Tags, *, numbers: np.ndarray | None = None
    ) -> "ImportedRuns":
        """Return runs of all targets; their law is told where the tags have none.

        Args:
            masks: 0/1 masks.
            outputs: Outputs.
            tags: What they are.
            numbers: Rows of the file that are meant, all by default.

        Returns:
            The runs.

        Raises:
            ValueError: If shapes differ.
        """
        found = ImportedRuns(
            masks=masks,
            outputs=outputs,
            tags=tags,
            numbers=np.arange(masks.shape[0]) if numbers is None else numbers,
            columns=np.arange(outputs.shape[-1]),
        )
        return found if tags.law is not None else found.with_law()

    @property
    def n_models(self) -> int:
        """How many models are meant."""
        return len(self.numbers)

    @property
    def n_train(self) -> int:
        """Number of training examples N."""
        return self.masks.shape[1]

    @property
    def train_labels(self) -> tuple[str, ...]:
        """One label a training example, by its place in the file."""
        return numbered("example", self.n_train)

    @property
    def target_labels(self) -> tuple[str, ...]:
        """One label a target, by its place in the file."""
        return tuple(f"target {column}" for column in self.columns)

    def rows(self, start: int, stop: int) -> "ImportedRuns":
        """Return the models whose rows in the file lie in [start, stop).

        Raises:
            ValueError: If the file has no such rows, or none of them is left.
        """
        check_range((start, stop), self.masks.shape[0], "rows")
        kept = (self.numbers >= start) & (self.numbers < stop)
        return self._with_numbers(self.numbers[kept], f"[{start}, {stop})")

    def without_rows(self, start: int, stop: int) -> "ImportedRuns":
        """Return the models whose rows in the file do not lie in [start, stop).

        Raises:
            ValueError: If the file has no such rows, or no other is left.
        """
        check_range((start, stop), self.masks.shape[0], "rows")
        kept = (self.numbers < start) | (self.numbers >= stop)
        return self._with_numbers(self.numbers[kept], f"outside [{start}, {stop})")

    def targets(self, start: int, stop: int) -> "ImportedRuns":
        """Return the same models with the targets in columns [start, stop).

        Raises:
            ValueError: If the file has no such columns, or none of them is left.
        """
        check_range((start, stop), self.outputs.shape[1], "targets")
        kept = (self.columns >= start) & (self.columns < stop)
        if not kept.any():
            raise ValueError(
                f"targets must name columns of the file, got [{start}, {stop})"
            )
        return replace(self, columns=self.columns[kept])

    def split(
        self, held_out: tuple[int, int] | None = None
    ) -> tuple["ImportedRuns", "ImportedRuns"]:
        """Return the models to fit, and those held out.

        Args:
            held_out: First row and end of the held-out rows of the file; those of the
                tags by default.

        Returns:
            Models outside the range, and models in it.

        Raises:
            ValueError: If no range is named, or a side is empty.
        """
        held_out = self.tags.held_out if held_out is None else held_out
        if held_out is None:
            raise ValueError(
                "held_out must name rows of the file, such as (300000, 310000): "
                "formats do not say which rows are for evaluation"
            )
        tagged = replace(self, tags=replace(self.tags, held_out=held_out))
        return tagged.without_rows(*held_out), tagged.rows(*held_out)

    def held_out_among_kept(self) -> list[int] | None:
        """Return the tags' held-out range among these rows, None if it is empty."""
        if self.tags.held_out is None:
            return None
        start, stop = np.searchsorted(self.numbers, self.tags.held_out).tolist()
        return [start, stop] if start < stop else None

    def blocks(
        self,
    ) -> Iterator[Block]:
        """Go over row numbers, masks and outputs, some rows at a time, in float64.

        Raises:
            ValueError: If a mask is not 0 and 1 or an output is not finite, naming
                the row.
        """
        for numbers in self.number_blocks():
            yield numbers, self.read_masks(numbers), self.read_outputs(numbers)

    def number_blocks(self) -> Iterator[Int64[np.ndarray, " models"]]:
        """Go over the rows' numbers, so many at a time that they fit memory."""
        width = max(self.n_train, row_entries(self.outputs))
        step = max(1, _BLOCK_ENTRIES // width)
        for start in range(0, self.n_models, step):
            yield self.numbers[start : start + step]

    def read_masks(self, numbers: np.ndarray) -> np.ndarray:
        """Return masks of these rows of the file as float64.

        Raises:
            ValueError: If one is not 0 and 1.
        """
        return checked_masks(read_numbers(self.masks, numbers), numbers)

    def read_outputs(self, numbers: np.ndarray) -> np.ndarray:
        """Return outputs of these rows of the file as float64.

        Raises:
            ValueError: If one is not finite.
        """
        found = read_numbers(self.outputs, numbers)[:, self.columns]
        return checked_outputs(found, numbers, self.columns)

    def all_rows(
        self,
    ) -> tuple[Float[Tensor, "models train"], Float[Tensor, "models targets"]]:
        """Return masks and outputs of all models at once, in memory."""
        return (
            torch.from_numpy(self.read_masks(self.numbers)),
            torch.from_numpy(self.read_outputs(self.numbers)),
        )

    def counts(self) -> Counts:
        """Return counts of up to 2,048 masks, spread over the file."""
        chosen = self.numbers
        if self.n_models > _COUNTED:
            # Stretches of consecutive rows, since single ones cost a read each.
            parts = np.array_split(chosen, _STRETCHES)
            chosen = np.concatenate([p[: _COUNTED // _STRETCHES] for p in parts])
        blocks = (
            checked_masks(read_numbers(self.masks, numbers), numbers, np.bool_)
            for numbers in replace(self, numbers=chosen).number_blocks()
        )
        return count_masks(blocks, self.n_train)

    def with_law(self) -> "ImportedRuns":
        """Return the same runs with the law that counts of their masks tell."""
        counts = self.counts()
        law = told_law(counts)
        told = "none of independent subsets" if law is None else str(law)
        note = f"subset law told from {len(counts.sizes)} masks: {told}"
        return replace(self, tags=replace(self.tags, law=law).noting(note))

    def stating(self, law: Point | None, why: str) -> "ImportedRuns":
        """Return the same runs with another law, or none, and why."""
        return replace(self, tags=replace(self.tags, law=law).noting(why))

    def _with_numbers(self, numbers: np.ndarray, asked: str) -> "ImportedRuns":
        if not len(numbers):
            raise ValueError(
                f"rows must leave at least one model, got rows {asked} of those from "
                f"{self.numbers[0]} to {self.numbers[-1]}"
            )
        return replace(self, numbers=numbers)


def check_range(range_: tuple[int, int], n: int, name: str) -> None:
    """Raise ValueError unless a first number and an end lie within [0, n]."""
    start, stop = range_
    if not 0 <= start < stop <= n:
        raise ValueError(f"{name} must lie within [0, {n}), got [{start}, {stop})")


def _check_numbers(numbers: np.ndarray, n: int, name: str) -> None:
    check_at_least(len(numbers), 1, f"number of {name}")
    if numbers[0] < 0 or numbers[-1] >= n or bool((np.diff(numbers) < 1).any()):
        raise ValueError(
            f"{name} must ascend within [0, {n}), got {numbers[0]} to {numbers[-1]}"
        )
